// What can be chosen beside the words: kind, date, folder, camera, place, language. Each choice is in the address and
// becomes a filter of the query language.

import { get } from "../base/api.js";
import { $, h } from "../base/dom.js";
import { count, kindName, month, name } from "../base/format.js";

const PLACE_RADIUS = "40km"; // around coordinates that no city is near to
const COORDINATES = /^-?\d+(\.\d+)?,-?\d+(\.\d+)?$/;
const plain = (text) => text.replaceAll('"', "?"); // a quotation mark can't stand in a quoted value; ? is any character
const glob = (path) => plain(path).replaceAll("*", "?");

/** Address parameter -> filter of the query language. @type {Record<string, (value: string) => string>} */
const MEANINGS = {
  kind: (value) => `kind:${value}`,
  date: (value) => `date:${value}`,
  folder: (value) => `path:"${glob(value)}/*"`,
  camera: (value) => `camera:"${plain(value)}"`,
  place: (value) => (COORDINATES.test(value) ? `near:${value},${PLACE_RADIUS}` : `place:"${plain(value)}"`),
  language: (value) => `language:${value}`,
};
export const NAMES = Object.keys(MEANINGS);

/** All choices as one filter expression; empty where nothing is chosen. @param {URLSearchParams} parameters */
export const where = (parameters) => NAMES.filter((one) => parameters.get(one)).map((one) => MEANINGS[one](parameters.get(one))).join(" ");

/** @param {(name: string, value: string) => void} choose */
export function start(choose) {
  $("kinds").addEventListener("change", (event) => choose("kind", event.target.value));
  $("menus").addEventListener("change", (event) => choose(event.target.name, event.target.value));
  $("clear-filters").addEventListener("click", () => choose("", ""));
}

/** Shows what there is to choose and what is chosen. @param {URLSearchParams} parameters */
export async function show(parameters) {
  for (const radio of $("kinds").querySelectorAll("input")) radio.checked = radio.value === (parameters.get("kind") || "");
  $("clear-filters").hidden = !where(parameters);
  const [facets, months] = await choices();
  const used = new Set(facets.kinds.map((one) => one.value));
  for (const radio of $("kinds").querySelectorAll("input")) radio.parentElement.hidden = used.size < 2 || (radio.value !== "" && !used.has(radio.value));
  $("menus").replaceChildren(...[
    menu("date", "Any time", dates(months.items), parameters),
    menu("folder", "Any folder", facets.folders.length > 1 ? folders(facets.folders) : [], parameters),
    menu("camera", "Any camera", facets.cameras.map((one) => option(one.value, one.value, one.count)), parameters),
    menu("place", "Any place", places(facets.places), parameters),
    menu("language", "Any language", facets.languages.map((one) => option(one.value, language(one.value), one.count)), parameters),
  ].filter(Boolean));
}

const FRESH_MILLISECONDS = 20_000;
let asked = { at: -Infinity, choices: null };

/** What there is to choose, asked for again now and then. */
function choices() {
  if (performance.now() - asked.at > FRESH_MILLISECONDS) {
    asked = { at: performance.now(), choices: Promise.all([get("/v1/facets"), get("/v1/timeline")]) };
    asked.choices.catch(() => { asked.at = -Infinity; });
  }
  return asked.choices;
}

const option = (value, text, number) => h("option", { value }, `${text} (${number.toLocaleString()})`);

function menu(title, any, options, parameters) {
  const chosen = parameters.get(title) || "";
  if (!options.length && !chosen) return null;
  const select = h("select", { name: title, "aria-label": title[0].toUpperCase() + title.slice(1), class: chosen ? "chosen" : "" }, h("option", { value: "" }, any), options);
  if (chosen && ![...select.options].some((one) => one.value === chosen)) select.append(h("option", { value: chosen }, chosen));
  select.value = chosen;
  return select;
}

function dates(months) {
  const years = [...new Set(months.map((one) => one.month.slice(0, 4)))];
  return years.map((year) => {
    const its = months.filter((one) => one.month.startsWith(year));
    return h("optgroup", { label: year }, option(year, year, its.reduce((sum, one) => sum + one.count, 0)), its.map((one) => option(one.month, month(one.month), one.count)));
  });
}

function folders(found) {
  const names = found.map((one) => name(one.value));
  return found.map((one, place) => {
    const twice = names.filter((other) => other === names[place]).length > 1;
    return option(one.value, twice ? one.value.split("/").slice(-2).join("/") : names[place], one.count);
  });
}

/** By country, with the whole of it where there are several cities. @param {any[]} found */
function places(found) {
  const named = found.filter((one) => one.name);
  const country = (one) => one.name.split(", ").pop();
  const groups = [...new Set(named.map(country))].map((land) => {
    const its = named.filter((one) => country(one) === land);
    const whole = its.length > 1 ? [option(land, `All of ${land}`, its.reduce((sum, one) => sum + one.count, 0))] : [];
    return h("optgroup", { label: land }, whole, its.map((one) => option(one.name, one.name.split(", ").slice(0, -1).join(", ") || one.name, one.count)));
  });
  const others = found.filter((one) => !one.name);
  return others.length ? [...groups, h("optgroup", { label: "Elsewhere" }, others.map(around))] : groups;
}

function around(one) {
  const degrees = (value, plus, minus) => `${Math.abs(value).toFixed(1)}° ${value < 0 ? minus : plus}`;
  return option(`${one.latitude},${one.longitude}`, `${degrees(one.latitude, "N", "S")}, ${degrees(one.longitude, "E", "W")}`, one.count);
}

function language(code) {
  try {
    return new Intl.DisplayNames(undefined, { type: "language" }).of(code) || code;
  } catch {
    return code;
  }
}

/** The library's content in a few words. @param {Record<string, number>} kinds */
export const contents = (kinds) => ["image", "video", "audio", "document"].filter((kind) => kinds[kind]).map((kind) => count(kinds[kind], kindName(kind))).join(", ");
