// The account of the library as the service tells it, and how fast indexing goes. Null when nobody knows.

import { url } from "./api.js";

const SECONDS_REMEMBERED = 60;
/** @type {any} */
let latest; // undefined until the service has told
let source = null;
/** @type {{at: number, done: number}[]} */
let samples = [];
const listeners = new Set();

/** @param {(status: any) => void} listener is told now and at every change; null: the service does not answer */
export function follow(listener) {
  listeners.add(listener);
  if (latest !== undefined) listener(latest);
}

/** @param {(status: any) => void} listener */
export const forget = (listener) => listeners.delete(listener);

export const known = () => latest;

export function start() {
  source = new EventSource(url("v1/events"));
  source.addEventListener("status", (event) => tell(JSON.parse(event.data)));
  source.addEventListener("error", () => tell(null));
  addEventListener("pagehide", () => source.close());
}

function tell(status) {
  latest = status;
  const now = performance.now() / 1000;
  if (!status) samples = [];
  else {
    samples = [...samples.filter((one) => now - one.at < SECONDS_REMEMBERED), { at: now, done: status.assets.indexed + status.assets.quarantined }];
  }
  listeners.forEach((listener) => listener(status));
}

/** @param {any} status */
export const left = (status) => status.assets.pending + status.assets.working;

/** Files a second lately, or null while too little is known. */
export function rate() {
  const [first, last] = [samples[0], samples[samples.length - 1]];
  if (!first || last.at - first.at < 2 || last.done <= first.done) return null;
  return (last.done - first.done) / (last.at - first.at);
}
