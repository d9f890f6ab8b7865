// Embedding spaces (switch, fill, compare), API keys, and who is here.

import { call, get, url } from "../base/api.js";
import { $, attempt, button, failure, h } from "../base/dom.js";
import { bytes, count, name, percent } from "../base/format.js";
import { isLocal, leave, may, who } from "../base/session.js";

export const title = () => "Settings";

export function start() {
  $("view-settings").append(...["person", "spaces", "comparison", "keys"].map((id) => h("section", { id })));
}

export function open() {
  $("person").replaceChildren(...(isLocal() ? [] : [h("h2", {}, "You"), h("p", {}, `This browser uses the key “${who()}”. `,
    button("Sign out", () => leave().then(() => location.reload())))]));
  show("spaces", "Embedding spaces", spaces);
  if (may("admin")) show("keys", "Keys", keys);
}

async function show(id, title_, load) {
  try {
    $(id).replaceChildren(h("h2", {}, title_), ...(await load()));
  } catch (error) {
    $(id).replaceChildren(h("h2", {}, title_), failure(error));
  }
}

async function spaces() {
  const { items } = await get("/v1/spaces");
  const message = h("div");
  const change = (method, path) => attempt(message, async () => {
    await call(method, path);
    open();
  });
  return [h("ul", { class: "list" }, items.map((space) => {
    const missing = space.coverage.reduce((sum, part) => sum + part.missing, 0);
    const size = space.coverage.reduce((sum, part) => sum + part.bytes_when_full, 0);
    const path = `/v1/spaces/${encodeURIComponent(space.name)}`;
    return h("li", {},
      h("span", { class: "grow" }, h("strong", {}, space.name), ` ${space.state}`,
        h("small", {}, ` ${space.fingerprint.slice(0, 12)} · ${bytes(size)} · ${missing ? `${count(missing, "segment")} missing` : "complete"}`)),
      may("admin") && missing > 0 && button("Fill", () => change("POST", `${path}/fill`)),
      space.state !== "active" && [
        may("admin") && button("Use", () => change("POST", `${path}/use`)),
        button("Compare", () => compareForm(space.name)),
        may("admin") && button("Drop", () => confirm(`Drop the space ${space.name} with all its vectors?`) && change("DELETE", path))]);
  })), message, may("admin") ? h("p", { class: "help" }, "A new one: ", h("code", {}, "medley spaces create NAME --model ViT-B-32 --pretrained laion2b_s34b_b79k")) : ""];
}

function compareForm(space) {
  const field = h("input", { required: true, placeholder: "a dog on the beach", "aria-label": `Query to compare with ${space}` });
  const result = h("div");
  const run = async (event) => {
    event.preventDefault();
    result.textContent = "Comparing …";
    await attempt(result, async () => {
      const { items } = await call("POST", `/v1/spaces/${encodeURIComponent(space)}/compare`, { queries: [field.value], limit: 8 });
      result.replaceChildren(...items.map((one) => h("div", { class: "beside" }, h("p", {}, `${percent(one.overlap)} in common`), side(one.left), side(one.right))));
    });
  };
  $("comparison").replaceChildren(h("h2", {}, `The active space beside ${space}`),
    h("form", { class: "bar", onsubmit: run }, field, h("button", { class: "button" }, "Compare")), result);
  field.focus();
}

function side(result) {
  return h("div", {}, h("h3", {}, result.space), h("ol", { class: "strip" }, result.hits.map((hit) => h("li", {},
    h("img", { src: `${url(hit.moments[0].thumbnail)}?size=256`, alt: name(hit.asset.path), title: `${name(hit.asset.path)} ${percent(hit.relevance)}`, loading: "lazy" })))));
}

async function keys() {
  const { items } = await get("/v1/keys");
  if (!items.length) return [h("p", {}, "No key: only this machine may connect. The first key opens the service to others, and then everyone needs one. It is made on this machine: ", h("code", {}, "medley keys create NAME --scope admin"))];
  const message = h("div", { role: "status" });
  const field = h("input", { required: true, maxlength: 100, placeholder: "name", "aria-label": "Name of the new key" });
  const scope = h("select", { "aria-label": "What it may do" }, [["read", "look and search"], ["write", "and upload"], ["admin", "and everything else"]].map(([value, words]) => h("option", { value }, `${value}: ${words}`)));
  const add = async (event) => {
    event.preventDefault();
    const made = await attempt(message, () => call("POST", "/v1/keys", { name: field.value, scopes: [scope.value] }));
    if (!made) return;
    await show("keys", "Keys", keys);
    $("keys").append(h("p", { class: "notice" }, `The key of ${made.name}, shown only now: `, h("code", {}, made.key)));
  };
  return [h("ul", { class: "list" }, items.map((key) => h("li", {},
    h("span", { class: "grow" }, key.name, h("small", {}, ` ${key.scopes.join(" ")} · used ${key.used_at ? new Date(key.used_at).toLocaleString() : "never"}${key.revoked_at ? " · revoked" : ""}`)),
    !key.revoked_at && button("Revoke", () => confirm(`Revoke the key ${key.name}? Whoever uses it is shut out at once.`) && attempt(message, () => call("DELETE", `/v1/keys/${key.id}`).then(() => show("keys", "Keys", keys))))))),
  h("form", { class: "bar", onsubmit: add }, field, scope, h("button", { class: "button" }, "Make a key")), message];
}
