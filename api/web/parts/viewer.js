// Looks at one asset, large: the picture or the player at its moment, previous and next, its words, facts, and why it
// was found. The address says what is looked at: Back closes it, and the link can be kept.

import * as address from "../base/address.js";
import { assetUrl, call, get, url } from "../base/api.js";
import { $, button, failure, h } from "../base/dom.js";
import { bytes, clock, day, folder, name, percent, seems, stretch, where } from "../base/format.js";
import { has } from "../base/session.js";
import * as shelf from "../base/shelf.js";
import { document_ } from "./document.js";
import { picture } from "./picture.js";
import { player } from "./player.js";
import { words } from "./tiles.js";

const WITNESS = {
  image: "what the picture shows", frame: "what is seen", sound: "what is heard",
  speech: "what is said, by meaning", text: "what is written, by meaning", words: "the same words", page: "what the page shows",
};
const SWIPE = 60; // pixels
let turn = 0;
let shown = null; // the id looked at

export function start() {
  const dialog = $("viewer");
  $("viewer-close").addEventListener("click", close);
  $("viewer-previous").addEventListener("click", () => step(-1));
  $("viewer-next").addEventListener("click", () => step(1));
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (/^(INPUT|TEXTAREA|SELECT|VIDEO|AUDIO)$/.test(event.target.tagName) || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
    else return;
    event.preventDefault();
  });
  let from = null;
  const swiped = (event) => {
    const to = event.changedTouches[0];
    if (!from || $("viewer-stage").querySelector(".zoomed") || event.target.closest(".line, audio")) return;
    const [across, down] = [to.clientX - from.clientX, to.clientY - from.clientY];
    if (Math.abs(across) > SWIPE && Math.abs(down) < SWIPE) step(across < 0 ? 1 : -1);
  };
  $("viewer-stage").addEventListener("touchstart", (event) => {
    from = event.touches.length === 1 ? event.touches[0] : null;
    // On what was touched: once it is replaced by a better picture, nothing reaches the stage from there.
    event.target.addEventListener("touchend", swiped, { once: true, passive: true });
  }, { passive: true });
}

/** Shows what the address says. @param {URLSearchParams} parameters */
export async function follow(parameters) {
  const id = parameters.get("asset");
  if (!id) {
    shown = null;
    if ($("viewer").open) {
      $("viewer-stage").replaceChildren();
      $("viewer").close();
    }
    return;
  }
  if (id === shown) return;
  shown = id;
  const mine = ++turn;
  if (!$("viewer").open) $("viewer").showModal();
  try {
    const hit = shelf.find(id);
    const details = get(`/v1/assets/${encodeURIComponent(id)}`);
    const asset = hit?.asset || (await details);
    if (mine !== turn) return;
    show(asset, hit?.moments || [], parameters, mine);
    const all = await details;
    if (mine === turn) $("viewer-facts").replaceChildren(h("h3", {}, "Facts"), facts(all));
  } catch (error) {
    $("viewer-title").textContent = "Not to be seen";
    $("viewer-stage").replaceChildren();
    $("viewer-body").replaceChildren(failure(error));
  }
}

function close() {
  if (history.state?.viewer) history.back();
  else address.correct(address.read().view, address.changed(address.nowhere));
}

async function step(direction) {
  const next = await shelf.beside(shown, direction);
  if (!next) return;
  address.correct(address.read().view, address.changed(address.at(next.asset.id, next.moments[0])));
}

function show(asset, moments, parameters, mine) {
  const at = Number(parameters.get("at")) || 0;
  const place = placeOf(parameters);
  const moment = moments.find((one) => (one.start_seconds !== null && Math.abs(one.start_seconds - at) < 0.06) || isAt(one, place)) || moments[0];
  $("viewer-title").textContent = name(asset.path);
  document.title = `${name(asset.path)} – Medley`;
  for (const [button_, direction] of /** @type {[string, -1 | 1][]} */ ([["viewer-previous", -1], ["viewer-next", 1]])) {
    shelf.beside(asset.id, direction).then((other) => { if (mine === turn) $(button_).hidden = !other; });
  }
  const words_ = h("div", { class: "transcript" });
  const media = mediaOf(asset, moments, moment, at, place);
  $("viewer-stage").replaceChildren(media.element);
  $("viewer-body").replaceChildren(
    actions(asset, moment, media.seek),
    moments.some((one) => one.why?.length) ? why(moments.filter((one) => one.why?.length), media) : "",
    words_,
    h("section", { id: "viewer-facts" }, h("h3", {}, "Facts"), facts(asset)));
  $("viewer-body").scrollTop = 0;
  listen(asset, media, words_, mine);
}

const isAt = (moment, place) => (place.page !== null && moment.page === place.page) || (place.lines && moment.lines?.[0] === place.lines[0]);

/** @param {URLSearchParams} parameters */
function placeOf(parameters) {
  const numbers = (name, between) => (parameters.get(name) || "").split(between).map(Number);
  const [box, lines] = [numbers("box", ","), numbers("lines", "-")];
  return { page: Number(parameters.get("page")) || null, box: box.length === 4 && box.every(Number.isFinite) ? box : null, lines: lines[0] ? [lines[0], lines[1] || lines[0]] : null };
}

function mediaOf(asset, moments, moment, at, place) {
  if (asset.kind === "image") return { element: picture(asset, moment, place.box), seek: null };
  if (asset.kind !== "document") return player(asset, moments, moment, at);
  return document_(asset, place.page || place.lines || !moment ? place : moment);
}

async function listen(asset, media, words_, mine) {
  try {
    const segments = await allSegments(asset.id);
    if (mine !== turn) return;
    media.know?.(segments);
    words_.replaceChildren(...told(segments, media));
  } catch (error) {
    words_.replaceChildren(failure(error));
  }
}

async function allSegments(id) {
  const found = [];
  let cursor = "";
  do {
    const page = await get(`/v1/assets/${encodeURIComponent(id)}/segments?limit=1000${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    found.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor && found.length < 20_000);
  return found;
}

function actions(asset, moment, seek) {
  const timed = moment && moment.start_seconds !== null && moment.end_seconds > moment.start_seconds;
  const reference = timed ? `${asset.id}@${moment.start_seconds.toFixed(1)}-${moment.end_seconds.toFixed(1)}` : asset.id;
  const refine = (kind) => {
    const { view } = address.read();
    const before = view === "search" ? address.changed({ ...address.nowhere, until: null }) : new URLSearchParams();
    before.set(kind, [before.get(kind), reference].filter(Boolean).join(" "));
    address.go("search", before);
  };
  const copy = h("button", { type: "button", class: "button quiet", onclick: () => navigator.clipboard.writeText(location.href).then(
    () => { copy.textContent = "Copied"; }, () => { copy.textContent = "The browser refuses"; }) }, "Copy link");
  return h("p", { class: "actions" },
    button("More like this", () => refine("like")),
    button("Less like this", () => refine("unlike")),
    has("answers.assets") && button("Ask about this", () => address.go("ask", { about: reference })),
    h("a", { class: "button quiet", href: assetUrl(asset.id, "content"), target: "_blank", rel: "noopener" }, "Open"),
    h("a", { class: "button quiet", href: assetUrl(asset.id, "content"), download: name(asset.path) }, "Download"),
    seek && moment && h("a", { class: "button quiet", href: url(`v1/segments/${moment.segment_id}/preview`), download: "" }, "Clip"),
    copy);
}

function why(moments, media) {
  const { seek, turn } = media;
  return h("section", {}, h("h3", {}, "Why this matched"), h("ol", { class: "why" }, moments.map((moment) => h("li", {},
    seek && h("button", { type: "button", class: "time", onclick: () => seek(moment.start_seconds || 0) }, stretch(moment)),
    turn && where(moment) && h("button", { type: "button", class: "time", onclick: () => turn(moment) }, where(moment)),
    moment.text && h("q", {}, words(moment)),
    h("ul", {}, moment.why.map((one) => h("li", {},
      h("span", {}, WITNESS[one.signal] || one.signal),
      h("meter", { min: 0, max: 1, value: one.relevance, "aria-label": "probability" }),
      h("span", { class: "number", title: `score ${one.score.toFixed(2)}, place ${one.rank}` }, percent(one.relevance)))))))));
}

function facts(asset) {
  const known = [
    ["Folder", folder(asset.path)],
    ["Pages", asset.pages],
    ["Size", asset.kind !== "document" && asset.width && `${asset.width} × ${asset.height}`],
    ["Length", asset.duration_seconds && clock(asset.duration_seconds)],
    [asset.kind === "document" ? "Written" : "Captured", asset.captured_at && `${day(asset.captured_at)}, ${asset.captured_at.slice(11, 16)}`],
    ["Camera", asset.camera], ["Title", asset.title], ["Language", asset.language],
    ["Place", placed(asset)],
    ["File", asset.size_bytes && asset.modified_at && `${bytes(asset.size_bytes)}, changed ${day(asset.modified_at)}`],
    ["Left out", asset.note],
    [seems(asset).replace("s", "S"), asset.caption],
  ].filter(([, value]) => value);
  return h("dl", {}, known.flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
}

/** Where it was captured: the nearest city with the coordinates. @param {any} asset */
function placed({ place, latitude, longitude }) {
  if (latitude === null || latitude === undefined) return null;
  const at = `${latitude.toFixed(4)}, ${longitude.toFixed(4)}`;
  return place ? [h("a", { href: address.link("search", { place }) }, place), ` (${at})`] : at;
}

/** The box around lines that have boxes. @param {any[] | undefined} lines */
function around(lines) {
  const boxes = (lines || []).map((line) => line.box).filter(Boolean);
  return boxes.length ? [0, 1, 2, 3].map((edge) => (edge < 2 ? Math.min : Math.max)(...boxes.map((box) => box[edge]))) : null;
}

function told(segments, media) {
  const parts = [["speech", "Words spoken"], ["text", media.turn ? "Text" : "Text seen"], ["sound", "Sounds"]];
  return parts.flatMap(([signal, title]) => {
    const found = segments.filter((item) => item.signal === signal && (signal === "sound" || item.text));
    if (!found.length) return [];
    const list = h("ul", { class: signal === "speech" ? "following" : "" }, found.map((item) => h("li", {},
      media.seek && item.start_seconds !== null && h("button", { type: "button", class: "time", onclick: () => media.seek(item.start_seconds) }, stretch(item)),
      media.turn && where(item) && h("button", { type: "button", class: "time", onclick: () => media.turn({ ...item, box: around(item.details?.lines) }) }, where(item)),
      signal === "sound"
        ? h("img", { src: url(`v1/segments/${item.id}/spectrogram`), alt: `Spectrogram of ${stretch(item)}`, loading: "lazy", class: "spectrogram" })
        : h("span", {}, item.text))));
    if (signal === "speech") media.follow?.(list, found);
    return [h("h3", {}, title), list];
  });
}
