// The address says everything: the view, what is searched for, and what the viewer shows.
// #/search?q=a+dog&asset=12&at=3.5 ; views and parts change it and are told when it changed.

/** @returns {{view: string, parameters: URLSearchParams}} */
export function read() {
  const [view, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { view: view || "search", parameters: new URLSearchParams(query) };
}

/** @param {string} view @param {URLSearchParams | Record<string, string>} parameters */
export function link(view, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  return `#/${view}${query ? `?${query}` : ""}`;
}

/** Goes to another address; Back comes back here. @param {string} view @param {any} parameters @param {any} state */
export function go(view, parameters = {}, state = null) {
  if (location.hash === link(view, parameters)) tell();
  else {
    history.pushState(state, "", link(view, parameters));
    tell();
  }
}

/** Corrects the address; Back goes where it went before. @param {string} view @param {any} parameters */
export function correct(view, parameters) {
  history.replaceState(history.state, "", link(view, parameters));
  tell();
}

/** The parameters now, with changes; null removes one. @param {Record<string, string | null>} changes */
export function changed(changes) {
  const { parameters } = read();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") parameters.delete(name);
    else parameters.set(name, value);
  }
  return parameters;
}

// Of words that were found in a picture; not of those that happen to stand in one found by what it shows.
const boxOf = (moment) => (moment?.page || (moment?.signal === "text" && moment.start_seconds === null) ? moment.box : null);

/** Where in an asset a moment is: what the address says of it. @param {string} id @param {any} moment */
export const at = (id, moment) => ({
  asset: id,
  at: moment?.start_seconds ? moment.start_seconds.toFixed(1) : null,
  page: moment?.page ? String(moment.page) : null,
  box: boxOf(moment)?.join(",") || null,
  lines: moment?.lines ? moment.lines.join("-") : null,
});

/** Nothing is looked at. */
export const nowhere = { asset: null, at: null, page: null, box: null, lines: null };

const listeners = new Set();
const tell = () => listeners.forEach((listener) => listener());

/** @param {() => void} listener */
export function follow(listener) {
  listeners.add(listener);
}

addEventListener("popstate", tell);
