// The thumbs of a hit: is it a right answer to what was asked? Said once more the same, it is taken back.

import * as address from "../base/address.js";
import { call, get } from "../base/api.js";
import { h } from "../base/dom.js";
import { name } from "../base/format.js";
import { may } from "../base/session.js";

let asked = ""; // the query that `said` is about
let said = new Map(); // asset id -> judgement

/** What was said of this query's hits before. @param {string} query */
export async function about(query) {
  asked = query;
  said = new Map();
  if (!query || !may("write")) return;
  const known = await get(`/v1/judgements?limit=1000&query=${encodeURIComponent(query)}`).catch(() => ({ items: [] }));
  if (asked === query) said = new Map(known.items.map((one) => [one.asset_id, one]));
}

/** Two buttons, where something was asked in words and may be judged. @param {any} hit @returns {any} */
export function thumbs(hit) {
  const query = (address.read().parameters.get("q") || "").trim();
  if (!query || query !== asked || !may("write")) return null;
  const group = h("span", { class: "thumbs", role: "group", "aria-label": `Is ${name(hit.asset.path)} what you looked for?` });
  const draw = () => group.replaceChildren(thumb(1, "right"), thumb(0, "wrong"));
  const thumb = (relevant, meaning) => {
    const before = said.get(hit.asset.id);
    const pressed = before && Boolean(before.relevant) === Boolean(relevant);
    return h("button", { type: "button", class: meaning, "aria-pressed": String(Boolean(pressed)), "aria-label": meaning, title: `${meaning}: your judgements measure and tune the search`, onclick: async () => {
      try {
        if (pressed) {
          await call("DELETE", `/v1/judgements/${before.id}`);
          said.delete(hit.asset.id);
        } else said.set(hit.asset.id, await call("POST", "/v1/judgements", { query, asset: hit.asset.id, relevant }));
        draw();
        [...group.children][relevant ? 0 : 1].focus();
      } catch (error) {
        group.title = error.message;
        group.classList.add("failed");
      }
    } });
  };
  draw();
  return group;
}
