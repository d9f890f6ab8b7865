// Searching: the field, its suggestions, examples dropped or pasted, and the pages of results.

import { call, get } from "./api.js";
import { $, count, h } from "./dom.js";
import { tile } from "./results.js";
import { view } from "./viewer.js";

const PAGE = 40;
const REMEMBERED = 12;
const COMPLETIONS = [
  "kind:image", "kind:video", "kind:audio", "signal:speech", "signal:sound", "signal:text", "signal:frame",
  "after:", "before:", "path:", "duration>", "size>", "width>=", "camera:", "near:", "language:", "source:",
];

const EXAMPLES = ["a dog on the beach", "somebody laughing", "\"good morning\"", "a sunset kind:image", "rain after:2024"];

let files = []; // examples to search by
let turn = 0; // of searches: an older answer that comes late is dropped
let state = null; // { body, cursor } of the results shown

export function start() {
  $("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    go($("search-text").value);
  });
  $("search-text").addEventListener("input", suggest);
  $("search-text").addEventListener("focus", suggest);
  $("kinds").addEventListener("change", () => go($("search-text").value));
  $("search-file").addEventListener("change", (event) => attach([...event.target.files]));
  $("more").addEventListener("click", more);
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    attach([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => attach([...(event.clipboardData?.files || [])]));
  addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
    if (event.key === "/" && !typing && !document.querySelector("dialog[open]")) {
      event.preventDefault();
      if (!location.hash.startsWith("#/search")) location.hash = "#/search";
      $("search-text").focus();
    }
  });
}

export function open(parameters) {
  const text = parameters.get("q") || "";
  const kind = parameters.get("kind") || "";
  $("search-text").value = text;
  for (const radio of $("kinds").querySelectorAll("input")) radio.checked = radio.value === kind;
  if (text || files.length) run(text, kind);
  else {
    $("hits").replaceChildren();
    $("more").hidden = true;
    $("search-message").textContent = "";
    $("search-text").focus();
    welcome().catch((error) => { $("search-message").textContent = error.message; });
  }
}

// Before anything is asked: what there is to be searched, and something to begin with.
async function welcome() {
  const mine = ++turn;
  const { assets, kinds } = await get("/v1/status");
  if (mine !== turn) return;
  const held = [["image", "photo"], ["video", "video"], ["audio", "recording"]].filter(([kind]) => kinds[kind]).map(([kind, one]) => count(kinds[kind], one));
  const recent = remembered().slice(0, 8);
  $("welcome").hidden = false;
  $("welcome").replaceChildren(...(assets.total
    ? [h("p", {}, `${held.join(", ") || count(assets.total, "file")}: find them by what they show, sound like or say.`),
      h("h2", {}, recent.length ? "Your last searches" : "For example"),
      h("ul", { class: "chips" }, (recent.length ? recent : EXAMPLES).map((text) => h("li", {}, h("a", { href: `#/search?${new URLSearchParams({ q: text })}` }, text))))]
    : [h("p", {}, "Your library is empty. ", h("a", { href: "#/library" }, "Add a folder"), " and it can be searched while it is being read.")]));
}

function go(text) {
  const kind = $("kinds").querySelector("input:checked").value;
  const parameters = new URLSearchParams();
  if (text.trim()) parameters.set("q", text.trim());
  if (kind) parameters.set("kind", kind);
  const wanted = `#/search?${parameters}`;
  if (location.hash === wanted) open(parameters);
  else location.hash = wanted;
}

// More, or less, like an asset or a stretch of it: one more part of the query.
export function refine(sign, reference) {
  const text = $("search-text").value.trim();
  go(text || sign === "-" ? `${text} ${sign} asset:${reference}`.trim() : `asset:${reference}`);
}

function attach(chosen) {
  const wanted = chosen.filter((file) => /^(image|audio|video)\//.test(file.type));
  if (!chosen.length) return;
  if (!wanted.length) {
    $("search-message").textContent = "Only pictures, sounds and videos can be searched by.";
    return;
  }
  files = [...files, ...wanted];
  showAttachments();
  if (!location.hash.startsWith("#/search")) location.hash = "#/search";
  else go($("search-text").value);
}

function showAttachments() {
  $("attachments").replaceChildren(...files.map((file) => h("li", {},
    file.type.startsWith("image/") ? thumbnail(file) : h("span", { "aria-hidden": "true" }, "♪"),
    h("span", {}, file.name || "pasted"),
    h("button", { type: "button", "aria-label": `Remove ${file.name || "the pasted file"}`, onclick: () => {
      files = files.filter((other) => other !== file);
      showAttachments();
      go($("search-text").value);
    } }, "✕"))));
}

function thumbnail(file) {
  const url = URL.createObjectURL(file);
  return h("img", { src: url, alt: "", width: 24, height: 24, onload: () => URL.revokeObjectURL(url) });
}

async function run(text, kind) {
  const mine = ++turn;
  $("welcome").hidden = true;
  const filters = kind ? { kind: [kind] } : {};
  state = { body: { text, filters, limit: PAGE, explain: true }, cursor: null, shown: 0 };
  $("search-message").textContent = "Searching …";
  $("more").hidden = true;
  $("hits").setAttribute("aria-busy", "true");
  try {
    const result = await ask(state.body);
    if (mine !== turn) return;
    remember(text);
    $("hits").replaceChildren();
    add(result);
    $("search-message").replaceChildren(...summary(result));
  } catch (error) {
    if (mine !== turn) return;
    $("hits").replaceChildren();
    $("search-message").textContent = error.message;
  } finally {
    if (mine === turn) $("hits").removeAttribute("aria-busy");
  }
}

async function more() {
  const mine = turn;
  $("more").disabled = true;
  try {
    const result = await ask({ ...state.body, cursor: state.cursor });
    if (mine === turn) add(result);
  } catch (error) {
    $("search-message").textContent = error.message;
  } finally {
    $("more").disabled = false;
  }
}

function ask(body) {
  if (!files.length) return call("POST", "/v1/search", body);
  const form = new FormData();
  form.set("query", JSON.stringify(body));
  for (const file of files) form.append(file.type.split("/")[0], file);
  return call("POST", "/v1/search", form);
}

function add(result) {
  const first = state.shown;
  $("hits").append(...result.hits.map((hit) => tile(hit, (moment) => view(hit.asset, hit.moments, moment))));
  state.shown += result.hits.length;
  state.cursor = result.next_cursor;
  $("more").hidden = !result.next_cursor;
  if (first) $("hits").children[first]?.querySelector("button, a")?.focus();
}

function summary(result) {
  if (!result.hits.length) {
    return ["Nothing found. ", h("a", { href: "#/library" }, "What is in the library?")];
  }
  const time = `${Math.round(result.took_seconds * 1000)} ms`;
  const together = togetherWords(result.query.aspects);
  if (!result.matched) return [h("strong", {}, "Nothing in your library matches well."), ` These come closest (${time})${together}.`];
  const found = count(result.hits.length, result.confident ? "result" : "possible result");
  return [`${found}${result.next_cursor ? " and more" : ""} in ${time}${together}`];
}

// How a query of several things was taken apart, such as: ", seen “a dog” and said “taxes” together".
function togetherWords(aspects = []) {
  return aspects.length ? `, ${aspects.map((one) => `${one.sense} “${one.text}”`).join(" and ")} together` : "";
}

function suggest() {
  const text = $("search-text").value;
  const [, before, word] = text.match(/^(.*?)(\S*)$/s);
  const fitting = word.length > 1 ? COMPLETIONS.filter((one) => one.startsWith(word) && one !== word) : [];
  const recent = remembered().filter((one) => one.startsWith(text) && one !== text);
  $("suggestions").replaceChildren(...[...fitting.map((one) => before + one), ...recent].map((one) => h("option", { value: one })));
}

function remembered() {
  try {
    return JSON.parse(localStorage.getItem("medley-queries")) || [];
  } catch {
    return [];
  }
}

function remember(text) {
  if (!text) return;
  const kept = [text, ...remembered().filter((one) => one !== text)].slice(0, REMEMBERED);
  try {
    localStorage.setItem("medley-queries", JSON.stringify(kept));
  } catch { /* private windows have no storage */ }
}
