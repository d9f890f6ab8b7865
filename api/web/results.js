// One result: a photo or video as a tile of its own shape, a recording as a row with its sound and words.

import { clock, h, marked, name, percent, stretch } from "./dom.js";

const ROW_HEIGHT = 220; // pixels; tiles grow from here until each row is full

export function tile(hit, open) {
  return hit.asset.kind === "audio" ? recording(hit, open) : picture(hit, open);
}

function picture(hit, open) {
  const { asset, moments } = hit;
  const ratio = Math.min(3, Math.max(0.5, (asset.width || 4) / (asset.height || 3)));
  const best = moments[0];
  return h("li", { class: "tile", "--ratio": ratio, "--basis": `${Math.round(ratio * ROW_HEIGHT)}px` },
    h("button", { class: "cover", onclick: () => open(best), "aria-label": label(hit) },
      h("img", { src: best.thumbnail, alt: "", loading: "lazy", decoding: "async" }),
      asset.kind === "video" && h("span", { class: "badge" }, `▶ ${best.start_seconds === null ? "" : clock(best.start_seconds)}`)),
    h("div", { class: "caption" },
      h("span", { class: "name", title: asset.path }, name(asset.path)),
      h("span", { class: "relevance", title: "probability that this is what you look for" }, percent(hit.relevance))),
    asset.kind === "video" && moments.length > 1 && times(moments.slice(1, 4).sort((a, b) => a.start_seconds - b.start_seconds), open),
    best.text && h("p", { class: "words" }, ...words(best)));
}

function recording(hit, open) {
  const { asset, moments } = hit;
  return h("li", { class: "row" },
    h("button", { class: "wave", onclick: () => open(moments[0]), "aria-label": label(hit) },
      h("img", { src: `/v1/assets/${encodeURIComponent(asset.id)}/waveform`, alt: "", loading: "lazy", decoding: "async" }),
      asset.duration_seconds && moments.filter((moment) => moment.start_seconds !== null).map((moment) =>
        h("span", { class: "span", "--from": moment.start_seconds / asset.duration_seconds,
          "--length": (moment.end_seconds - moment.start_seconds) / asset.duration_seconds }))),
    h("div", { class: "caption" },
      h("span", { class: "name", title: asset.path }, name(asset.path)),
      asset.duration_seconds && h("span", {}, clock(asset.duration_seconds)),
      h("span", { class: "relevance" }, percent(hit.relevance))),
    h("ul", { class: "passages" }, moments.slice(0, 3).map((moment) => h("li", {},
      h("button", { class: "time", onclick: () => open(moment) }, stretch(moment)),
      moment.text ? h("q", {}, ...words(moment)) : h("em", {}, moment.signal)))));
}

function times(moments, open) {
  return h("p", { class: "times" }, "also at ", moments.map((moment) =>
    h("button", { class: "time", onclick: () => open(moment) }, clock(moment.start_seconds || 0))));
}

export function words(moment) {
  const found = (moment.why || []).find((why) => why.highlights?.length);
  return found ? marked(moment.text, found.highlights) : [moment.text];
}

function label(hit) {
  const kind = { image: "photo", video: "video", audio: "recording" }[hit.asset.kind];
  return `Open the ${kind} ${name(hit.asset.path)}, ${percent(hit.relevance)}`;
}
