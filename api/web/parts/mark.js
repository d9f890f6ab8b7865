// Marks words where they stand in a picture, of a page or by itself.

import { h } from "../base/dom.js";

/**
 * To be laid over a picture of the same size.
 * @returns {{element: any, put: (box: number[] | null) => void}} `box`: left, top, right, bottom in parts of the picture
 */
export function marker() {
  const element = h("div", { class: "on-page", hidden: true });
  function put(box) {
    element.hidden = !box;
    if (!box) return;
    const [left, top, right, bottom] = box;
    for (const [property, value] of Object.entries({ "--left": left, "--top": top, "--width": right - left, "--height": bottom - top })) element.style.setProperty(property, String(value));
  }
  return { element, put };
}
