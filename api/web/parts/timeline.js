// The line of months beside the library: how much there is of each, and a way to jump there.

import { get } from "../base/api.js";
import { $, h } from "../base/dom.js";
import { count, month } from "../base/format.js";

let drawn = null; // the filter that the line was drawn for

/** @param {string | null} where filter expression; null hides the line @param {(month: string) => void} jump */
export async function show(where, jump) {
  $("timeline").hidden = where === null;
  if (where === null || where === drawn) return;
  const { items } = await get(`/v1/timeline${where ? `?${new URLSearchParams({ where })}` : ""}`);
  drawn = where;
  const most = Math.max(...items.map((one) => one.count), 1);
  const years = [...new Set(items.map((one) => one.month.slice(0, 4)))];
  $("timeline").hidden = items.length < 2;
  $("timeline").replaceChildren(h("ol", {}, years.map((year) => h("li", {}, h("span", { class: "year" }, year),
    h("ol", {}, items.filter((one) => one.month.startsWith(year)).map((one) => h("li", {}, h("button", {
      type: "button", "data-month": one.month, "--share": Math.sqrt(one.count / most), title: `${month(one.month)}: ${count(one.count, "file")}`,
      "aria-label": `${month(one.month)}, ${count(one.count, "file")}`, onclick: () => jump(one.month),
    }, h("span", {}, month(one.month).split(" ")[0].slice(0, 3))))))))));
}

/** Marks the month that is looked at. */
export function mark() {
  if ($("timeline").hidden) return;
  const headings = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("#hits .day")]);
  const above = headings.filter((one) => one.getBoundingClientRect().top < 200).pop() || headings[0];
  for (const button of $("timeline").querySelectorAll("button")) {
    if (above && button.dataset.month === above.dataset.month) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}
