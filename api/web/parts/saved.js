// Saved searches: one click away, with what is new in them, told of while the page is open; and saving the one at hand.

import * as address from "../base/address.js";
import { call, get, url } from "../base/api.js";
import { $, button, failure, h } from "../base/dom.js";
import { count, name } from "../base/format.js";
import { may } from "../base/session.js";
import * as filters from "./filters.js";

const fresh = new Map(); // id of a saved search -> how many new files since it was opened
const PAGE = 50; // saved searches that are shown at first, and more at each click
const MOST = 1000; // that one request gives
let list = [];
let cursor = null; // leads to those that are not shown yet
let stream = null;

export function start() {
  $("save-search").addEventListener("click", ask);
  listen();
  addEventListener("pagehide", () => stream?.close());
}

/** Shows the saved searches, and whether the one at hand can be kept. @param {URLSearchParams} parameters */
export async function show(parameters) {
  const wanted = wantedNow(parameters);
  $("save-search").hidden = !may("write") || !wanted || Boolean(parameters.get("file"));
  $("save-form").hidden = true;
  const page = await get(`/v1/saved-searches?limit=${Math.min(MOST, Math.max(PAGE, list.length))}`);
  const known = new Set(page.items.map((saved) => saved.id));
  list = [...list.filter((saved) => fresh.has(saved.id) && !known.has(saved.id)), ...page.items];
  cursor = page.next_cursor;
  const open = list.find((saved) => asQuery(saved) === parameters.get("q"));
  if (open) fresh.delete(open.id);
  draw();
}

/** The text and filters of the address as one text; empty where nothing is asked. @param {URLSearchParams} parameters */
const wantedNow = (parameters) => [parameters.get("q"), filters.where(parameters)].filter(Boolean).join(" ");

/** A saved search in the query language. @param {any} saved */
function asQuery({ text, filters: given }) {
  const parts = [text];
  for (const key of ["kind", "signal"]) if (given[key]?.length) parts.push(`${key}:${given[key].join(",")}`);
  for (const key of ["after", "before"]) if (given[key]) parts.push(`${key}:${given[key]}`);
  for (const [key, values] of [["path", given.path], ["source", given.source]]) {
    if (values?.length) parts.push(`(${values.map((value) => `${key}:"${value}"`).join(" OR ")})`);
  }
  if (given.where) parts.push(given.where);
  return parts.filter(Boolean).join(" ");
}

function draw() {
  $("saved").hidden = !list.length;
  $("saved").replaceChildren(...list.map((saved) => h("li", {},
    h("a", { href: address.link("search", { q: asQuery(saved) }), title: asQuery(saved) }, saved.name,
      fresh.get(saved.id) && h("strong", {}, ` ${fresh.get(saved.id)} new`)),
    may("write") && h("button", { type: "button", "aria-label": `Forget the saved search ${saved.name}`, onclick: () => forget(saved) }, "✕"))),
  ...(cursor ? [h("li", {}, button("More saved searches", more))] : []));
}

async function more() {
  try {
    const page = await get(`/v1/saved-searches?limit=${PAGE}&cursor=${encodeURIComponent(cursor)}`);
    const known = new Set(list.map((saved) => saved.id)); // one that was not shown may have come with news
    list = [...list, ...page.items.filter((saved) => !known.has(saved.id))];
    cursor = page.next_cursor;
    draw();
  } catch (error) {
    $("news").replaceChildren(failure(error));
  }
}

async function forget(saved) {
  try {
    await call("DELETE", `/v1/saved-searches/${encodeURIComponent(saved.id)}`);
    list = list.filter((one) => one.id !== saved.id);
    draw();
  } catch (error) {
    $("news").replaceChildren(failure(error));
  }
}

function ask() {
  const text = wantedNow(address.read().parameters);
  const named = h("input", { type: "text", value: text.slice(0, 60), maxlength: 200, required: true, "aria-label": "Name of the saved search" });
  const tells = h("input", { type: "checkbox", checked: true });
  const message = h("span", { role: "status" });
  const form = $("save-form");
  form.replaceChildren(named, h("label", {}, tells, " Tell me of new files that match"), h("button", { class: "button" }, "Save"),
    button("Cancel", () => { form.hidden = true; }), message);
  form.onsubmit = async (event) => {
    event.preventDefault();
    try {
      const saved = await call("POST", "/v1/saved-searches", { name: named.value.trim(), text, notify: tells.checked });
      await show(address.read().parameters);
      if (saved.notify && saved.reach.falls_short) offer(saved);
    } catch (error) {
      message.replaceChildren(failure(error));
    }
  };
  form.hidden = false;
  named.select();
  named.focus();
}

/** Says that even the best file of now would not be told of, and how to hear of such. @param {any} saved */
function offer({ id, reach }) {
  const percent = (/** @type {number} */ relevance) => `${Math.round(relevance * 100)} %`;
  const lower = Math.floor(reach.best * 100) / 100;
  $("news").replaceChildren(`You are told of new files that match with ${percent(reach.needed)}; the best one here has ${percent(reach.best)}. `,
    ...(lower > 0 ? [button(`Tell me from ${percent(lower)} on`, async () => {
      try {
        await call("PATCH", `/v1/saved-searches/${encodeURIComponent(id)}`, { relevance: lower });
        $("news").replaceChildren(`You are told of new files that match with ${percent(lower)}.`);
      } catch (error) {
        $("news").replaceChildren(failure(error));
      }
    })] : []));
}

function listen() {
  stream = new EventSource(url("v1/saved-searches/events"));
  stream.addEventListener("match", async (event) => {
    const told = JSON.parse(event.data);
    const id = told.saved_search.id;
    fresh.set(id, (fresh.get(id) || 0) + 1);
    // One that is not shown among so many comes forward with its news; null where it is gone by now.
    const query = list.find((saved) => saved.id === id) || await get(`/v1/saved-searches/${encodeURIComponent(id)}`).catch(() => null);
    if (query && !list.some((saved) => saved.id === id)) list = [query, ...list];
    draw();
    $("news").replaceChildren(`${count(fresh.get(id), "new file")} in “${told.saved_search.name}”: `,
      told.asset ? h("a", { href: address.link("search", { ...(query ? { q: asQuery(query) } : {}), asset: told.asset.id }) }, name(told.asset.path)) : "gone already");
  });
}
