// Copies side by side, with what tells them apart; and removing some into a trash folder of Medley's, with undo, where a
// setting allows it.

import * as address from "../base/address.js";
import { assetUrl, call, get } from "../base/api.js";
import { attempt, button, h } from "../base/dom.js";
import { bytes, count, day, folder, name, percent } from "../base/format.js";
import { has, may } from "../base/session.js";
import * as shelf from "../base/shelf.js";

const TIERS = { exact: "the same bytes", perceptual: "the same picture, altered", meaning: "nearly the same scene" };

/** @param {() => any} reload @returns {Promise<any[]>} */
export async function copies(reload) {
  const { items } = await get("/v1/duplicates?limit=100");
  if (!items.length) return [h("p", {}, "No copies."), ...(await trash(reload))];
  shelf.fill(items.flatMap((group) => group.assets.map((asset) => ({ asset, moments: [] }))));
  return [
    has("trash") && may("admin") ? "" : h("p", { class: "help" }, "To remove copies from here, set ", h("code", {}, "allow_removal = true"), " in medley.toml; removed files go to Medley's trash folder and can be put back."),
    h("ul", { class: "list" }, items.map((group) => pile(group, reload))), ...(await trash(reload))].filter(Boolean);
}

function pile(group, reload) {
  const body = h("div");
  const element = h("details", { class: "group" },
    h("summary", {}, `${count(group.assets.length, "file")}: ${TIERS[group.tier] || group.tier}${group.tier === "exact" ? "" : `, ${percent(group.likeness)} alike`} `,
      group.assets.slice(0, 4).map((asset) => h("img", { class: "mini", src: `${assetUrl(asset.id, "thumbnail")}?size=256`, alt: "", loading: "lazy" }))), body);
  element.addEventListener("toggle", () => { if (element.open && !body.firstChild) attempt(body, async () => body.append(...(await sides(group, reload)))); });
  return h("li", {}, element);
}

async function sides(group, reload) {
  const assets = await Promise.all(group.assets.map((asset) => get(`/v1/assets/${asset.id}`)));
  const pixels = (asset) => (asset.width || 0) * (asset.height || 0);
  const best = [...assets].sort((a, b) => pixels(b) - pixels(a) || b.size_bytes - a.size_bytes || Number(a.id) - Number(b.id))[0];
  const boxes = new Map(assets.map((asset) => [asset.id, h("input", { type: "checkbox", checked: asset === best })]));
  const message = h("div", { role: "status" });
  const removable = has("trash") && may("admin");
  const remove = () => attempt(message, async () => {
    const gone = assets.filter((asset) => !boxes.get(asset.id).checked).map((asset) => asset.id);
    if (gone.length === assets.length) throw new Error("Choose at least one to keep.");
    if (!gone.length) throw new Error("All of them are chosen to be kept.");
    const { items } = await call("POST", "/v1/trash", { assets: gone, keep: assets.filter((asset) => boxes.get(asset.id).checked).map((asset) => asset.id) });
    message.replaceChildren(h("p", {}, `${count(items.length, "file")} moved to Medley's trash. `, button("Undo", () => attempt(message, async () => {
      for (const item of items) await call("POST", `/v1/trash/${item.id}/restore`);
      await reload();
    }))));
  });
  return [h("ul", { class: "sides" }, assets.map((asset) => h("li", {},
    h("button", { type: "button", class: "cover small", "aria-label": `Open ${name(asset.path)}`, onclick: () => address.go(address.read().view, address.changed(address.at(asset.id, null)), { viewer: true }) },
      h("img", { src: `${assetUrl(asset.id, "thumbnail")}?size=512`, alt: "", loading: "lazy" })),
    h("dl", {}, [["Name", name(asset.path)], ["Folder", folder(asset.path)], ["Size", bytes(asset.size_bytes)],
      ["Pixels", asset.width ? `${asset.width} × ${asset.height}` : "–"], ["Date", day(asset.captured_at || asset.modified_at)]]
      .flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)])),
    removable && h("label", {}, boxes.get(asset.id), " keep")))),
  removable && h("p", {}, button("Move the others to the trash", remove)), message].filter(Boolean);
}

async function trash(reload) {
  if (!has("trash") || !may("admin")) return [];
  const { items } = await get("/v1/trash");
  if (!items.length) return [];
  const message = h("div");
  return [h("details", { class: "group" }, h("summary", {}, `In the trash: ${count(items.length, "file")}`), h("ul", { class: "list" }, items.map((item) => h("li", {},
    h("span", { class: "grow" }, name(item.path), h("small", {}, ` from ${folder(item.path)}, ${bytes(item.size_bytes)}`)),
    button("Put back", () => attempt(message, async () => {
      await call("POST", `/v1/trash/${item.id}/restore`);
      await reload();
    })))))), message];
}
