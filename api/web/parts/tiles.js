// One result: a photo or video as a tile of its own shape, a recording as a row with its sound and words.

import { assetUrl, url } from "../base/api.js";
import { h, marked } from "../base/dom.js";
import { clock, count, described, kindName, name, percent, where } from "../base/format.js";
import { thumbs } from "./judging.js";

const SURE_OF_WORDS = 0.6; // text seen in a picture is shown from here on: less is often misread

/** @param {any} hit @param {(moment: any) => void} open */
export const tile = (hit, open) => (isRow(hit.asset) ? recording(hit, open) : picture(hit, open));

/** What has no picture of its own is a row. @param {any} asset */
export const isRow = (asset) => asset.kind === "audio" || (asset.kind === "document" && !asset.pages);

/** The shape of a tile, width by height. @param {any} asset */
export const ratio = (asset) => Math.min(3, Math.max(0.5, (asset.width || 4) / (asset.height || 3)));

function picture(hit, open) {
  const { asset, moments } = hit;
  const best = moments[0];
  const source = best ? url(best.thumbnail) : assetUrl(asset.id, "thumbnail");
  const more = detail(hit, open);
  return h("li", { class: "tile", "--below": more ? "3.3rem" : "1.7rem" },
    h("button", { class: "cover", type: "button", onclick: () => open(best), "aria-label": label(hit), title: name(asset.path) },
      h("img", { src: source, alt: described(asset), loading: "lazy", decoding: "async" }),
      asset.kind === "video" && h("span", { class: "badge" }, `▶ ${badge(asset, best)}`),
      asset.kind === "document" && h("span", { class: "badge" }, asset.pages > 1 ? `page ${best?.page || 1} of ${asset.pages}` : "document"),
      hit.copies?.length > 0 && h("span", { class: "badge right" }, `and ${count(hit.copies.length, "copy", "copies")}`)),
    h("div", { class: "caption" },
      h("span", { class: "name", title: asset.path }, name(asset.path)),
      thumbs(hit),
      h("span", { class: "relevance", title: "probability that this is what you look for" }, percent(hit.relevance))),
    more && h("div", { class: "detail" }, more));
}

function badge(asset, best) {
  if (best?.start_seconds) return clock(best.start_seconds);
  return asset.duration_seconds ? clock(asset.duration_seconds) : "";
}

function detail(hit, open) {
  const best = hit.moments[0];
  if (best?.text && (best.signal === "speech" || best.relevance >= SURE_OF_WORDS || highlights(best))) return h("p", { class: "words" }, words(best));
  const others = hit.moments.slice(1, 4).filter((moment) => moment.start_seconds !== null);
  if (hit.asset.kind !== "video" || !others.length) return null;
  const fine = new Set(others.map((moment) => clock(moment.start_seconds))).size < others.length;
  return h("p", { class: "times" }, "also at ", others.sort((a, b) => a.start_seconds - b.start_seconds).map((moment) =>
    h("button", { class: "time", type: "button", onclick: () => open(moment) }, clock(moment.start_seconds, fine))));
}

function recording(hit, open) {
  const { asset, moments } = hit;
  const timed = moments.filter((moment) => where(moment));
  const sounds = asset.kind === "audio";
  return h("li", { class: "row" },
    sounds && h("button", { class: "wave", type: "button", onclick: () => open(moments[0]), "aria-label": label(hit) },
      h("img", { src: assetUrl(asset.id, "waveform"), alt: "", loading: "lazy", decoding: "async" }),
      asset.duration_seconds && timed.map((moment) => h("span", { class: "span", "--from": moment.start_seconds / asset.duration_seconds,
        "--length": (moment.end_seconds - moment.start_seconds) / asset.duration_seconds }))),
    h("div", { class: "caption" },
      sounds ? h("span", { class: "name", title: asset.path }, name(asset.path))
        : h("button", { class: "name time", type: "button", title: asset.path, "aria-label": label(hit), onclick: () => open(moments[0]) }, name(asset.path)),
      hit.copies?.length > 0 && h("span", {}, `and ${count(hit.copies.length, "copy", "copies")}`),
      asset.duration_seconds && h("span", {}, clock(asset.duration_seconds)),
      thumbs(hit),
      h("span", { class: "relevance" }, percent(hit.relevance))),
    timed.length > 0 && h("ul", { class: "passages" }, timed.slice(0, 3).map((moment) => h("li", {},
      h("button", { class: "time", type: "button", onclick: () => open(moment) }, where(moment)),
      moment.text ? h("q", {}, words(moment)) : h("em", {}, moment.signal)))));
}

const highlights = (moment) => (moment.why || []).find((why) => why.highlights?.length)?.highlights;

/** A moment's words, those that matched marked. @param {any} moment */
export function words(moment) {
  const found = highlights(moment);
  return found ? marked(moment.text, found) : [moment.text];
}

const label = (hit) => `Open the ${kindName(hit.asset.kind)} ${described(hit.asset)}${hit.relevance < 1 ? `, ${percent(hit.relevance)}` : ""}`;
