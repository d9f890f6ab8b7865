// A picture that fits the window, and on demand in the pixels of the original, to be dragged around; the words that were
// found in it are marked.

import { assetUrl, url } from "../base/api.js";
import { h } from "../base/dom.js";
import { described, name } from "../base/format.js";
import { marker } from "./mark.js";

/** @param {any} asset @param {any} moment @param {number[] | null} box of the words to mark @returns {any} */
export function picture(asset, moment, box) {
  const small = moment ? url(moment.thumbnail) : assetUrl(asset.id, "thumbnail"); // as in its tile: it is there at once
  const image = h("img", { src: small, alt: described(asset), draggable: "false", width: asset.width, height: asset.height });
  const large = new Image();
  large.onload = () => { if (!image.dataset.original) image.src = large.src; };
  large.src = `${small}?size=1024`;
  const toggle = h("button", { type: "button", class: "button quiet zoom-button", "aria-pressed": "false", onclick: () => zoom() }, "Zoom in");
  const mark = marker();
  const sheet = h("div", { class: "sheet" }, image, mark.element);
  const frame = h("div", { class: "picture", tabindex: "0", role: "group", "aria-label": `${name(asset.path)}; Enter or Z zooms` }, sheet, toggle);
  const shape = (width, height) => { if (width && height) sheet.style.setProperty("--shape", String(width / height)); };
  shape(asset.width, asset.height);
  image.addEventListener("load", () => {
    shape(image.naturalWidth, image.naturalHeight);
    mark.put(box);
  });

  const middle = box ? { x: (box[0] + box[2]) / 2, y: (box[1] + box[3]) / 2 } : { x: 0.5, y: 0.5 };
  const zoom = (point = middle) => {
    const on = frame.classList.toggle("zoomed");
    toggle.textContent = on ? "Fit to window" : "Zoom in";
    toggle.setAttribute("aria-pressed", String(on));
    if (!on) {
      image.style.removeProperty("width");
      return;
    }
    if (!image.dataset.original) { // what the browser can't show (HEIC, RAW) stays the preview, enlarged
      image.dataset.original = "asked";
      const original = new Image();
      original.onload = () => { image.src = original.src; };
      original.src = assetUrl(asset.id, "content");
    }
    image.style.setProperty("width", `${(asset.width || image.naturalWidth) / devicePixelRatio}px`);
    frame.scrollTo(image.clientWidth * point.x - frame.clientWidth / 2, image.clientHeight * point.y - frame.clientHeight / 2);
  };
  let drag = null;
  frame.addEventListener("pointerdown", (event) => {
    if (event.target === image && event.pointerType === "mouse") drag = { x: event.clientX, y: event.clientY, left: frame.scrollLeft, top: frame.scrollTop, moved: false };
  });
  frame.addEventListener("pointermove", (event) => {
    if (!drag) return;
    drag.moved ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 4;
    frame.scrollTo(drag.left - (event.clientX - drag.x), drag.top - (event.clientY - drag.y));
  });
  image.addEventListener("click", (event) => {
    const moved = drag?.moved;
    drag = null;
    const box = image.getBoundingClientRect();
    if (!moved) zoom({ x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height });
  });
  frame.addEventListener("pointerleave", () => { drag = null; });
  frame.addEventListener("keydown", (event) => {
    if (event.target !== frame || !["Enter", "z", "Z", "+", "-"].includes(event.key)) return;
    event.preventDefault();
    zoom();
  });
  return frame;
}
