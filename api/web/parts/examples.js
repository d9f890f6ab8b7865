// Examples to search by: files that were dropped, pasted or chosen, and assets ("more like this"). They are chips with a
// picture beside the field, stay until they are taken away, and stand in the address. Files are kept by this browser.

import { assetUrl } from "../base/api.js";
import { $, h } from "../base/dom.js";
import { clock } from "../base/format.js";

const STORE = "examples";
const MOST_KEPT = 30;

function database() {
  return new Promise((done, failed) => {
    const request = indexedDB.open("medley", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}

async function transact(mode, work) {
  const opened = await database();
  try {
    return await new Promise((done, failed) => {
      const request = work(opened.transaction(STORE, mode).objectStore(STORE));
      request.onsuccess = () => done(request.result);
      request.onerror = () => failed(request.error);
    });
  } finally {
    opened.close();
  }
}

/** Files of this page's life, too: private windows have no storage. @type {Map<string, File>} */
const held = new Map();

/** Keeps a file and gives the name by which the address knows it. @param {File} file */
export async function keep(file) {
  const key = `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`;
  held.set(key, file);
  try {
    await transact("readwrite", (store) => store.put(file, key));
    const keys = await transact("readonly", (store) => store.getAllKeys());
    for (const old of keys.slice(0, Math.max(0, keys.length - MOST_KEPT))) await transact("readwrite", (store) => store.delete(old));
  } catch { /* then it lasts as long as the page */ }
  return key;
}

/** @param {string} key @returns {Promise<File | undefined>} */
async function kept(key) {
  if (held.has(key)) return held.get(key);
  return transact("readonly", (store) => store.get(key)).catch(() => undefined);
}

const list = (parameters, name) => (parameters.get(name) || "").split(" ").filter(Boolean);

/** What the address says there is to search by. @param {URLSearchParams} parameters */
export async function of(parameters) {
  const keys = list(parameters, "file");
  const files = await Promise.all(keys.map(kept));
  return {
    files: files.filter(Boolean),
    like: list(parameters, "like"),
    unlike: list(parameters, "unlike"),
    lost: files.some((file) => !file),
  };
}

/** Shows the chips. @param {URLSearchParams} parameters @param {(name: string, value: string) => void} remove */
export async function show(parameters, remove) {
  const chips = [];
  for (const key of list(parameters, "file")) {
    const file = await kept(key);
    const title = file ? file.name || "pasted" : "a file that this browser no longer has";
    chips.push(chip(file?.type.startsWith("image/") ? thumbnail(file) : h("span", { "aria-hidden": "true" }, "♪"), title, () => remove("file", key)));
  }
  for (const [name, words] of [["like", "like"], ["unlike", "unlike"]]) {
    for (const reference of list(parameters, name)) {
      const [id, times] = reference.split("@");
      const at = times ? ` at ${clock(Number(times.split("-")[0]))}` : "";
      const image = h("img", { src: `${assetUrl(id, "thumbnail")}?size=256`, alt: "", width: 32, height: 32 });
      chips.push(chip(image, `${words} this${at}`, () => remove(name, reference)));
    }
  }
  $("attachments").replaceChildren(...chips);
}

const chip = (picture, title, remove) => h("li", {}, picture, h("span", {}, title),
  h("button", { type: "button", "aria-label": `Remove ${title}`, onclick: remove }, "✕"));

function thumbnail(file) {
  const source = URL.createObjectURL(file);
  return h("img", { src: source, alt: "", width: 32, height: 32, onload: () => URL.revokeObjectURL(source) });
}
