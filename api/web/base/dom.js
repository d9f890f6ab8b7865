// Making elements. Text always enters the page as text, never as HTML.

/** @param {string} id @returns {any} the element */
export const $ = (id) => document.getElementById(id);

/**
 * h("li", { class: "hit", onclick: f, "aria-label": "..." }, child, "text", ...)
 * @param {string} tag @param {Record<string, any>} attributes @param {any[]} children @returns {any} the element
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value); // the CSP allows no style attributes
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return element;
}

/** A quiet button. @param {string} text @param {(event: Event) => any} onclick @param {Record<string, any>} more */
export const button = (text, onclick, more = {}) => h("button", { type: "button", class: "button quiet", onclick, ...more }, text);

/** How every failure looks. @param {Error} error */
export const failure = (error) => h("p", { class: "message failed", role: "alert" }, error.message);

/** Does `work`; what goes wrong is said in `where`. @param {any} where @param {() => Promise<any>} work */
export async function attempt(where, work) {
  where.replaceChildren();
  try {
    return await work();
  } catch (error) {
    where.replaceChildren(failure(error));
    return undefined;
  }
}

/**
 * The words of a moment with those that matched marked.
 * @param {string} text @param {number[][]} ranges [start, end) in characters (code points)
 */
export function marked(text, ranges) {
  const letters = Array.from(text);
  const parts = [];
  let at = 0;
  for (const [start, end] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (start < at) continue;
    parts.push(letters.slice(at, start).join(""), h("mark", {}, letters.slice(start, end).join("")));
    at = end;
  }
  return [...parts, letters.slice(at).join("")];
}
