// Rows of equal height, whatever the mix: tiles fill a row to both edges, recordings and headings have rows of their
// own. What is out of sight is not laid out by the browser (content-visibility); sizes are known before pictures come.

import { h } from "../base/dom.js";
import { day, month } from "../base/format.js";
import { isRow, ratio, tile } from "./tiles.js";

const GAP = 8; // pixels, as in the style sheet
const MANY_A_DAY = 4; // files of one day, on average, from which days have headings
const MOST_PLACES = 3; // named beside a day
const TALLEST = 1.35; // of the wanted height; a row that would be taller is not stretched

export class Grid {
  /** @param {any} list an <ol> @param {(hit: any, moment: any) => void} open */
  constructor(list, open) {
    this.list = list;
    this.open = open;
    this.clear(false);
    new ResizeObserver(() => this.layOut(list.clientWidth)).observe(list);
  }

  /** @param {boolean} wall pictures alone, by day, as a library is looked through */
  clear(wall) {
    this.wall = wall;
    /** @type {{element: any, ratio: number}[]} */
    this.items = []; // ratio 0: a row of its own
    this.lastDay = null;
    this.where = null; // the places beside the last day
    this.places = new Set();
    /** @type {Map<string, boolean>} */
    this.byDay = new Map();
    this.width = 0;
    this.done = 0; // how many stand in rows that are full
    this.list.replaceChildren();
    this.list.classList.toggle("wall", wall);
  }

  /** @param {any[]} hits */
  add(hits) {
    if (this.wall) this.choosePeriods(hits);
    for (const hit of hits) {
      const date = hit.asset.dated_at;
      const heading = !this.wall ? null : this.byDay.get((date || "").slice(0, 7)) || !date ? day(date) : month(date.slice(0, 7));
      if (heading !== this.lastDay) {
        this.where = h("span", { class: "where" });
        this.places = new Set();
        this.items.push({ element: h("li", { class: "day", "data-month": (hit.asset.dated_at || "").slice(0, 7) }, h("h2", {}, heading), this.where), ratio: 0 });
        this.lastDay = heading;
      }
      if (heading && hit.asset.place) {
        this.places.add(town(hit.asset.place));
        this.where.textContent = [...this.places].slice(0, MOST_PLACES).join(", ") + (this.places.size > MOST_PLACES ? " …" : "");
      }
      this.items.push({ element: tile(hit, (moment) => this.open(hit, moment)), ratio: isRow(hit.asset) ? 0 : ratio(hit.asset) });
    }
    const width = this.list.clientWidth;
    if (width && width === this.width) this.fill();
    else {
      this.width = 0; // hidden, so far
      this.layOut(width);
    }
  }

  /** Months with little of each day are shown as months: a heading for every photo says nothing. @param {any[]} hits */
  choosePeriods(hits) {
    const dates = hits.map((hit) => hit.asset.dated_at || "");
    for (const one of new Set(dates.map((date) => date.slice(0, 7)))) {
      const its = dates.filter((date) => date.startsWith(one));
      if (!this.byDay.has(one)) this.byDay.set(one, its.length >= MANY_A_DAY * new Set(its.map((date) => date.slice(0, 10))).size);
    }
  }

  /** @param {number} width */
  layOut(width) {
    if (!width || width === this.width) return;
    this.width = width;
    this.done = 0;
    this.fill();
  }

  /** Fills rows from the first one that was not full: what more results bring costs nothing of those above. */
  fill() {
    const { width } = this;
    const wanted = width < 600 ? 124 : 208;
    const first = this.done;
    let last = this.list.children[first - 1] || null;
    const order = [];
    let row = [];
    let waiting = []; // recordings that wait for the row of tiles to be full
    const close = (full) => {
      const sum = row.reduce((total, item) => total + item.ratio, 0);
      const filling = (width - GAP * (row.length - 1) - 1) / sum;
      const height = full && filling <= wanted * TALLEST ? filling : Math.min(wanted, filling);
      for (const { element, ratio: shape } of row) {
        element.style.setProperty("--width", `${(shape * height).toFixed(2)}px`);
        element.style.setProperty("--height", `${height.toFixed(2)}px`);
      }
      order.push(...row, ...waiting);
      row = [];
      waiting = [];
    };
    for (const [place, item] of this.items.slice(first).entries()) {
      if (item.ratio) {
        row.push(item);
        const sum = row.reduce((total, one) => total + one.ratio, 0);
        if (sum * wanted + GAP * (row.length - 1) >= width) close(true);
      } else if (item.element.classList.contains("day")) {
        close(false);
        order.push(item);
      } else if (row.length) waiting.push(item);
      else order.push(item);
      if (!row.length) this.done = first + place + 1;
    }
    close(false);
    for (const { element } of order) {
      const place = last ? last.nextSibling : this.list.firstChild;
      if (place !== element) this.list.insertBefore(element, place);
      last = element;
    }
  }
}

/** "Paris 18 Buttes-Montmartre, Paris, France" -> Paris; "Kreuzberg, Berlin, Germany" -> Kreuzberg. @param {string} place */
function town(place) {
  const [first, second] = place.split(", ");
  return second && first.startsWith(`${second} `) ? second : first;
}
