// How far indexing is: counts, rate, time left. Follows the service by itself.

import { h } from "../base/dom.js";
import { count, roughly } from "../base/format.js";
import * as status from "../base/status.js";

/** @returns {any} an element that goes on telling */
export function progress() {
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Files looked at" });
  const words = h("p", { class: "help", role: "status" });
  const element = h("div", { class: "indexing" }, bar, words);
  let wasSeen = false;
  const tell = (now) => {
    if (wasSeen && !element.isConnected) status.forget(tell);
    wasSeen ||= element.isConnected;
    if (!now) words.textContent = "The service does not answer.";
    else {
      const { indexed, quarantined, missing, total } = now.assets;
      bar.max = Math.max(1, total - missing);
      bar.value = indexed + quarantined;
      words.textContent = told(now);
    }
  };
  status.follow(tell);
  return element;
}

/** @param {any} now the status */
function told(now) {
  const { indexed, quarantined } = now.assets;
  const left = status.left(now);
  const failed = quarantined ? `, ${count(quarantined, "file")} could not be read` : "";
  if (!left) return now.sources.some((source) => !source.scanned_at) ? "Looking for files …" : `${count(indexed, "file")} can be searched${failed}.`;
  const rate = status.rate();
  const speed = rate ? `, ${rate < 10 ? rate.toFixed(1) : Math.round(rate)} files a second, ${roughly(left / rate)} left` : "";
  return `${count(indexed, "file")} can be searched, ${left.toLocaleString()} to go${speed}${failed}.`;
}
