// What could not be read, or only in part, in people's words, grouped, with what to do; and what was passed over.

import { call, get } from "../base/api.js";
import { attempt, button, h } from "../base/dom.js";
import { count, folder, name } from "../base/format.js";
import { may } from "../base/session.js";

/**
 * Pattern of the reason -> what it means for people, and what they can do.
 * @type {[RegExp, string, string][]}
 */
const REASONS = [
  [/empty file|is empty/i, "are empty", "Nothing is in them; perhaps a copy or download broke off. Copy them again."],
  [/permission denied/i, "may not be read", "Give the account that runs Medley leave to read them, then try again."],
  [/can't be read now|no such file|stale|i\/o error/i, "could not be reached", "The drive or network may have been away. Try again once it is back."],
  [/timeout|silent|hang|took longer/i, "took too long", "They may be damaged, or very large: raise the setting decode_timeout_seconds and try again."],
  [/max_image_pixels|max_file_bytes|max_duration|max_streams|larger than|too large|longer than/i, "are larger than the settings allow", "The reason names the setting to raise; then try again."],
  [/memory/i, "need more memory than they may take", "Raise the setting decode_memory_bytes and try again."],
  [/no (image|video|audio|stream|media)|not (a|an) |unknown|unsupported|no known|is no |raw file/i, "are of a kind that Medley does not read", "Convert them, or leave them: nothing else waits for them."],
  [/truncat|damaged|corrupt|invalid|can't be decoded|broken|cut off|header/i, "are damaged", "Other programs will most likely show only a part, too. Restore them from a backup, or leave them."],
];
/** @type {[RegExp, string, string]} */
const OTHER = [/^/, "could not be read", "The reason stands beside each file."];

/** @returns {Promise<any[]>} what to show */
export async function failures(reload) {
  const { items, next_cursor: more } = await get("/v1/failures?limit=500");
  if (!items.length) return [h("p", { class: "help" }, "None: every file is accounted for.")];
  const message = h("div");
  const reasons = (item) => [REASONS.find(([pattern]) => pattern.test(item.reason)) || OTHER];
  return [
    ...grouped(items, reasons).map(([[, words, advice], its]) => h("details", { class: "group" },
      h("summary", {}, h("strong", {}, `${count(its.length, "file")} ${its.length === 1 ? words.replace(/^are /, "is ").replace(/^need /, "needs ") : words}`)),
      h("p", { class: "help" }, advice),
      h("ul", { class: "list" }, its.map((item) => h("li", {}, h("span", { class: "grow", title: item.path }, name(item.path), h("small", {}, ` in ${folder(item.path)}`)), h("small", { class: "warning" }, item.reason.replace(`${item.path}: `, ""))))))),
    more && h("p", { class: "help" }, "And more: ", h("code", {}, "medley failures"), " lists them all."),
    may("write") && h("p", {}, button("Try all again", () => attempt(message, async () => {
      await call("POST", "/v1/failures/retry");
      await reload();
    }))),
    message,
  ].filter(Boolean);
}

const ABOUT = {
  length: "lengths that differ", tracks: "tracks", sound: "sound", picture: "parts of pictures", pages: "pages", words: "words",
  beside: "files beside them", other: "other things",
};

/** Searchable files of which something was left out, grouped by what that is about. @returns {Promise<any[]>} */
export async function notes() {
  const { items, next_cursor: more } = await get("/v1/notes?limit=500");
  if (!items.length) return [h("p", { class: "help" }, "None: all of every searchable file is searched.")];
  return [
    ...grouped(items, (item) => item.about).map(([about, its]) => h("details", { class: "group" },
      h("summary", {}, h("strong", {}, `Of ${count(its.length, "file")}: ${ABOUT[about] || about}`)),
      h("ul", { class: "list" }, its.map((item) => h("li", {},
        h("a", { class: "grow", title: item.path, href: `#/library?asset=${item.asset_id}` }, name(item.path)), h("small", {}, item.left_out)))))),
    more && h("p", { class: "help" }, "And more: ", h("code", {}, "medley status --notes"), " lists them all."),
  ].filter(Boolean);
}

/**
 * Each group with its items, the largest first; an item is in every group that `groupsOf` names.
 * @returns {[any, any[]][]}
 */
function grouped(items, groupsOf) {
  const groups = new Map();
  for (const item of items) for (const group of groupsOf(item)) groups.set(group, [...(groups.get(group) || []), item]);
  return [...groups].sort(([, a], [, b]) => b.length - a.length);
}

/** What scans left out on purpose, such as "3 XLSX files". @param {string[]} reasons */
export function leftOut(reasons) {
  return reasons.length ? h("p", { class: "help" }, `Left out: ${reasons.join(", ")}.`) : "";
}
