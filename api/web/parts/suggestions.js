// What the field suggests: words of the query language and the last searches of this browser.

import { link } from "../base/address.js";
import { $, h } from "../base/dom.js";

const REMEMBERED = 12;
const COMPLETIONS = [
  "kind:image", "kind:video", "kind:audio", "signal:speech", "signal:sound", "signal:text", "signal:frame", "date:",
  "after:", "before:", "path:", "duration>", "size>", "width>=", "camera:", "place:", "near:", "language:", "source:",
];
const EXAMPLES = ["a dog on the beach", "somebody laughing", "\"good morning\"", "a sunset last summer"];

export function suggest() {
  const text = $("search-text").value;
  const [, before, word] = text.match(/^(.*?)(\S*)$/s);
  const fitting = word.length > 1 ? COMPLETIONS.filter((one) => one.startsWith(word) && one !== word) : [];
  const lately = remembered().filter((one) => one.startsWith(text) && one !== text);
  $("suggestions").replaceChildren(...[...fitting.map((one) => before + one), ...lately].map((one) => h("option", { value: one })));
}

/** Links to the last searches, or to some that show what can be asked. */
export function recent() {
  const lately = remembered().slice(0, 6);
  return [h("ul", { class: "chips", "aria-label": lately.length ? "Your last searches" : "For example" },
    (lately.length ? lately : EXAMPLES).map((text) => h("li", {}, h("a", { href: link("search", { q: text }) }, text))))];
}

/** @param {string} text */
export function remember(text) {
  if (!text) return;
  const kept = [text, ...remembered().filter((one) => one !== text)].slice(0, REMEMBERED);
  try {
    localStorage.setItem("medley-queries", JSON.stringify(kept));
  } catch { /* private windows have no storage */ }
}

/** @returns {string[]} */
function remembered() {
  try {
    return JSON.parse(localStorage.getItem("medley-queries")) || [];
  } catch {
    return [];
  }
}
