// A document, at the page or lines that matched: the page as a picture with the words marked where they stand, previous
// and next, a page by its number; the words of a text file with their lines.

import { assetUrl } from "../base/api.js";
import { h } from "../base/dom.js";
import { name } from "../base/format.js";
import { marker } from "./mark.js";

/**
 * @param {any} asset @param {any} place what to open at: {page, box, lines}, each may be missing
 * @returns {{element: any, seek: null, turn: (place: any) => void, know: (segments: any[]) => void}}
 */
export const document_ = (asset, place) => (asset.pages ? pages(asset, place) : text(asset, place));

function pages(asset, place) {
  const image = h("img", { alt: "" });
  const mark = marker();
  const paper = h("div", { class: "paper" }, image, mark.element);
  const number = h("input", { type: "number", min: 1, max: asset.pages, "aria-label": "Page" });
  const back = h("button", { type: "button", class: "button quiet", onclick: () => turn({ page: page - 1 }) }, "Previous page");
  const on = h("button", { type: "button", class: "button quiet", onclick: () => turn({ page: page + 1 }) }, "Next page");
  const zoom = h("button", { type: "button", class: "button quiet", "aria-pressed": "false", onclick: () => {
    const large = element.classList.toggle("zoomed");
    zoom.setAttribute("aria-pressed", String(large));
    show();
  } }, "Zoom");
  const bar = h("div", { class: "page-bar" }, asset.pages > 1 && [back, h("label", {}, "Page ", number, ` of ${asset.pages}`), on], zoom);
  const element = h("div", { class: "document" }, h("div", { class: "desk", tabindex: "0", role: "group", "aria-label": `Page of ${name(asset.path)}` }, paper), bar);
  let page = 1;
  let box = null;

  function turn(to) {
    page = Math.min(asset.pages, Math.max(1, Number(to.page) || 1));
    box = to.box || null;
    number.value = String(page);
    back.disabled = page === 1;
    on.disabled = page === asset.pages;
    show();
  }
  function show() {
    image.alt = `Page ${page} of ${name(asset.path)}`;
    image.src = `${assetUrl(asset.id, `pages/${page}`)}?size=${element.classList.contains("zoomed") ? 2400 : 1600}`;
    mark.put(box);
  }
  image.addEventListener("load", () => { if (box) mark.element.scrollIntoView({ block: "center", inline: "nearest" }); });
  number.addEventListener("change", () => turn({ page: number.value }));
  turn(place);
  return { element, seek: null, turn, know: () => {} };
}

function text(asset, place) {
  const list = h("ol", { class: "lines", tabindex: "0", "aria-label": `Text of ${name(asset.path)}` });
  let wanted = place.lines || null;
  function turn(to) {
    wanted = to.lines || null;
    let first = null;
    for (const line of list.children) {
      const is = wanted && Number(line.value) >= wanted[0] && Number(line.value) <= wanted[1];
      line.classList.toggle("found", Boolean(is));
      first ||= is ? line : null;
    }
    first?.scrollIntoView({ block: "center" });
  }
  function know(segments) {
    const timed = segments.filter((one) => one.text && !one.lines && one.start_seconds !== null);
    const rows = segments.filter((one) => one.text && one.lines).flatMap((one) => one.text.split("\n").map((words, place) => h("li", { value: one.lines[0] + place }, words)));
    list.replaceChildren(...(rows.length ? rows : timed.map((one) => h("li", {}, one.text))));
    turn({ lines: wanted });
  }
  return { element: h("div", { class: "document text" }, list), seek: null, turn, know };
}
