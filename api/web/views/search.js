// Searching and looking through the library: the field, what is searched by, filters, the rows, and the line of months.

import * as address from "../base/address.js";
import { call } from "../base/api.js";
import { $, failure, h } from "../base/dom.js";
import { count } from "../base/format.js";
import * as shelf from "../base/shelf.js";
import * as status from "../base/status.js";
import * as examples from "../parts/examples.js";
import * as filters from "../parts/filters.js";
import { Grid } from "../parts/grid.js";
import { progress } from "../parts/indexing.js";
import * as judging from "../parts/judging.js";
import * as saved from "../parts/saved.js";
import { suggest, remember, recent } from "../parts/suggestions.js";
import * as timeline from "../parts/timeline.js";
import { guide } from "../parts/welcome.js";

export const title = (parameters) => parameters.get("q") || "Search";

const PAGE = 60;
const AHEAD = 1200; // pixels below the window from which on more is fetched
const REFRESH_MILLISECONDS = 4000; // of the newest files, while they are being read
let turn = 0; // of searches: an older answer that comes late is dropped
let state = null; // { ask, cursor, hits } of the results shown
let grid, unlikely;

export function start() {
  grid = new Grid($("hits"), open_);
  unlikely = new Grid($("unlikely-hits"), open_);
  $("unlikely").addEventListener("toggle", () => unlikely.layOut($("unlikely-hits").clientWidth));
  $("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    address.go("search", address.changed({ q: $("search-text").value.trim(), until: null, words: null, ...address.nowhere }));
  });
  for (const event of ["input", "focus"]) $("search-text").addEventListener(event, suggest);
  filters.start((name, value) => address.go("search", address.changed(name ? { [name]: value, until: null } : Object.fromEntries([...filters.NAMES, "until"].map((one) => [one, null])))));
  saved.start();
  $("search-file").addEventListener("change", (event) => attach([...event.target.files]));
  $("more").addEventListener("click", () => more(true));
  new IntersectionObserver((seen) => seen[0].isIntersecting && !$("more").hidden && more(false), { rootMargin: `${AHEAD}px` }).observe($("more"));
  addEventListener("scroll", () => requestAnimationFrame(timeline.mark), { passive: true });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    if (address.read().view !== "library") attach([...(event.dataTransfer?.files || [])]);
  });
  addEventListener("paste", (event) => attach([...(event.clipboardData?.files || [])]));
  addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
    if (event.key !== "/" || typing || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    if (address.read().view !== "search") address.go("search");
    $("search-text").focus();
  });
  let shownFiles = 0;
  let shownAt = 0;
  status.follow((now) => { // what can be found meanwhile appears while others are still being read, unless someone is busy with it
    const idle = !$("hits").hasAttribute("aria-busy") && !$("view-search").hidden && !$("welcome").hidden && scrollY < 100 && !$("viewer").open && document.activeElement !== $("search-text");
    if (!now || !idle || now.assets.indexed === shownFiles || performance.now() - shownAt < REFRESH_MILLISECONDS) return;
    const first = shownFiles === 0 && !state?.hits.length;
    shownFiles = now.assets.indexed;
    shownAt = performance.now();
    if (first || status.left(now)) run(address.read().parameters, "");
  });
}

const open_ = (hit, moment) => address.go("search", address.changed(address.at(hit.asset.id, moment)), { viewer: true });

/** @param {URLSearchParams} parameters */
export function open(parameters) {
  const text = parameters.get("q") || "";
  $("search-text").value = text;
  const remove = (name, value) => address.go("search", address.changed({ [name]: (parameters.get(name) || "").split(" ").filter((one) => one !== value).join(" ") }));
  examples.show(parameters, remove);
  saved.show(parameters).catch(() => {}); // the search itself says what is wrong
  filters.show(parameters).catch(() => {}); // the search itself says what is wrong
  run(parameters, text);
}

async function attach(chosen) {
  const wanted = chosen.filter((file) => /^(image|audio|video)\//.test(file.type));
  if (!chosen.length) return;
  if (!wanted.length) {
    say(failure(new Error("Only pictures, sounds and videos can be searched by.")));
    return;
  }
  const keys = await Promise.all(wanted.map(examples.keep));
  const before = address.read().view === "search" ? address.changed({ until: null, ...address.nowhere }) : new URLSearchParams();
  before.set("file", [before.get("file"), ...keys].filter(Boolean).join(" "));
  address.go("search", before);
}

async function bodyOf(parameters, text) {
  const found = await examples.of(parameters);
  const unwanted = found.unlike.map((reference) => ` - asset:${reference}`).join("");
  const body = {
    text: text + unwanted, images: found.like, explain: true, limit: PAGE, dates: !parameters.get("words"),
    filters: { where: filters.where(parameters) || undefined, before: parameters.get("until") || undefined },
  };
  return { ...found, body };
}

function asking({ files, body }) {
  return (cursor) => {
    const wanted = { ...body, cursor };
    if (!files.length) return call("POST", "/v1/search", wanted);
    const form = new FormData();
    form.set("query", JSON.stringify(wanted));
    for (const file of files) form.append(file.type.split("/")[0], file);
    return call("POST", "/v1/search", form);
  };
}

async function run(parameters, text) {
  const mine = ++turn;
  $("more").hidden = true;
  $("hits").setAttribute("aria-busy", "true");
  try {
    const wanted = await bodyOf(parameters, text);
    if (mine !== turn) return;
    if (text || wanted.files.length || wanted.like.length) say("Searching …");
    const ask = asking(wanted);
    const [result] = await Promise.all([ask(null), judging.about(text)]);
    if (mine !== turn) return;
    remember(text);
    const browsing = !result.query.parts.length;
    // Before the rows, which are as wide as it leaves them.
    await timeline.show(browsing ? result.query.filters.where || "" : null, (month) => address.go("search", address.changed({ until: month })));
    if (mine !== turn) return;
    grid.clear(browsing);
    unlikely.clear(false);
    state = { ask, cursor: result.next_cursor, hits: [] };
    add(result);
    say(...(wanted.lost ? ["A file to search by is no longer here. "] : []), ...summary(result, parameters, browsing));
    await welcome(mine, result, parameters, browsing);
    timeline.mark();
  } catch (error) {
    if (mine !== turn) return;
    grid.clear(false);
    unlikely.clear(false);
    $("unlikely").hidden = true;
    timeline.show(null, () => {});
    say(failure(error));
  } finally {
    if (mine === turn) $("hits").removeAttribute("aria-busy");
  }
}

async function more(byHand) {
  const mine = turn;
  if ($("more").disabled || !state?.cursor) return;
  $("more").disabled = true;
  const first = $("hits").children.length;
  try {
    const result = await state.ask(state.cursor);
    if (mine === turn) add(result);
    if (byHand) $("hits").children[first]?.querySelector("button, a")?.focus();
  } catch (error) {
    $("more").hidden = true;
    say(failure(error));
  } finally {
    $("more").disabled = false;
  }
  // Who scrolls faster than results come is still at the end: the observer tells of changes alone.
  requestAnimationFrame(() => $("more").checkVisibility() && $("more").getBoundingClientRect().top < innerHeight + AHEAD && more(false));
}

function add(result) {
  // Where nothing matches, what comes closest is shown as it is: a fold with everything in it would hide the answer.
  state.folds ??= result.hits.some((hit) => !hit.less_likely);
  const isFolded = (hit) => state.folds && hit.less_likely;
  grid.add(result.hits.filter((hit) => !isFolded(hit)));
  unlikely.add(result.hits.filter(isFolded));
  state.hits.push(...result.hits);
  state.cursor = result.next_cursor;
  const folded = state.hits.filter(isFolded).length;
  $("unlikely").hidden = !folded;
  $("unlikely-summary").textContent = `${count(folded, "less likely result")}`;
  $("more").hidden = !result.next_cursor;
  shelf.fill(state.hits, result.next_cursor ? () => more(false) : null);
}

const say = (...content) => $("search-message").replaceChildren(...content);

function summary(result, parameters, browsing) {
  const times = (result.query.times || []).map((found) => h("span", { class: "understood" }, `${found.words.trim()}: ${found.filter} `,
    h("button", { type: "button", "aria-label": `Take “${found.words.trim()}” as words`, title: "search for these words instead", onclick: () => address.go("search", address.changed({ words: "1" })) }, "✕")));
  if (browsing) {
    const until = parameters.get("until");
    const back = until && h("button", { type: "button", class: "button quiet", onclick: () => address.go("search", address.changed({ until: null })) }, "Back to the newest");
    if (!result.hits.length && (parameters.get("q") || filters.where(parameters))) return [...times, "Nothing in your library is like that."];
    return [...times, back || ""];
  }
  const unknown = unknownWords(result.query.unknown);
  if (!result.hits.length) return [...times, `Nothing found${unknown}. `, h("a", { href: address.link("library") }, "What is in the library?")];
  const time = `${Math.round(result.took_seconds * 1000)} ms`;
  const together = togetherWords(result.query.aspects) + unwantedWords(result.query.unwanted);
  if (!result.matched) return [...times, h("strong", {}, "Nothing in your library matches well."), ` These come closest (${time})${together}${unknown}.`];
  const likely = result.matching || result.hits.length;
  return [...times, `${count(likely, result.confident ? "result" : "possible result")}${result.next_cursor && result.matching >= result.hits.length ? " and more" : ""} in ${time}${together}${unknown}`];
}

// How a query of several things was taken apart, such as: ", seen “a dog” and said “taxes” together".
const togetherWords = (aspects = []) => (aspects.length ? `, ${aspects.map((one) => `${one.sense} “${one.text}”`).join(" and ")} together` : "");

// What the words say must not be there, such as: "; pictures and sounds of “people” rank lower".
const unwantedWords = (texts = []) => (texts.length ? `; pictures and sounds of ${texts.map((one) => `“${one}”`).join(" and ")} rank lower` : "");

// Signs that mean nothing to the space, such as: "; “ꙮ” was looked for literally".
const unknownWords = (texts = []) => (texts.length ? `; ${texts.map((one) => `“${one}”`).join(" and ")} was looked for literally` : "");

/** Before anything is asked: the way to begin, or what was asked lately. */
async function welcome(mine, result, parameters, browsing) {
  const bare = browsing && !parameters.get("q") && !filters.where(parameters);
  $("welcome").hidden = !bare;
  if (!bare) return;
  const now = status.known();
  const content = result.hits.length ? [now && status.left(now) ? progress() : "", ...recent()] : await guide();
  if (mine === turn) $("welcome").replaceChildren(...content);
}
