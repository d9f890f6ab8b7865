// Embedding spaces (switch, fill, compare) and API keys.

import { call, get } from "./api.js";
import { $, bytes, count, h, name, percent } from "./dom.js";

export function start() {
  $("view-settings").append(h("section", { id: "spaces" }), h("section", { id: "comparison" }), h("section", { id: "keys" }));
}

export function open() {
  show("spaces", "Embedding spaces", spaces);
  show("keys", "Keys", keys);
}

async function show(id, title, load) {
  try {
    $(id).replaceChildren(h("h2", {}, title), ...(await load()));
  } catch (error) {
    $(id).replaceChildren(h("h2", {}, title), h("p", { class: "message", role: "alert" }, error.message));
  }
}

async function spaces() {
  const { items } = await get("/v1/spaces");
  const message = h("p", { class: "message", role: "alert" });
  const change = (method, path) => call(method, path).then(open, (error) => { message.textContent = error.message; });
  return [h("ul", { class: "list" }, items.map((space) => {
    const missing = space.coverage.reduce((sum, part) => sum + part.missing, 0);
    const size = space.coverage.reduce((sum, part) => sum + part.bytes_when_full, 0);
    const path = `/v1/spaces/${encodeURIComponent(space.name)}`;
    return h("li", {},
      h("span", { class: "grow" }, h("strong", {}, space.name), ` ${space.state}`,
        h("small", {}, ` ${space.fingerprint.slice(0, 12)} · ${bytes(size)} · ${missing ? `${count(missing, "segment")} missing` : "complete"}`)),
      missing > 0 && h("button", { class: "button quiet", onclick: () => change("POST", `${path}/fill`) }, "Fill"),
      space.state !== "active" && [
        h("button", { class: "button quiet", onclick: () => change("POST", `${path}/use`) }, "Use"),
        h("button", { class: "button quiet", onclick: () => compareForm(space.name) }, "Compare"),
        h("button", { class: "button quiet", onclick: () => confirm(`Drop the space ${space.name} with all its vectors?`) && change("DELETE", path) }, "Drop")]);
  })), message, h("p", { class: "help" }, "A new one: ", h("code", {}, "medley spaces create NAME --model ViT-B-32 --pretrained laion2b_s34b_b79k"))];
}

function compareForm(space) {
  const field = h("input", { required: true, placeholder: "a dog on the beach", "aria-label": `Query to compare with ${space}` });
  const result = h("div");
  const run = async (event) => {
    event.preventDefault();
    result.textContent = "Comparing …";
    try {
      const { items } = await call("POST", `/v1/spaces/${encodeURIComponent(space)}/compare`, { queries: [field.value], limit: 8 });
      result.replaceChildren(...items.map((one) => h("div", { class: "sides" },
        h("p", {}, `${percent(one.overlap)} in common`), side(one.left), side(one.right))));
    } catch (error) {
      result.textContent = error.message;
    }
  };
  $("comparison").replaceChildren(h("h2", {}, `The active space beside ${space}`),
    h("form", { class: "bar", onsubmit: run }, field, h("button", { class: "button" }, "Compare")), result);
  field.focus();
}

function side(result) {
  return h("div", {}, h("h3", {}, result.space), h("ol", { class: "strip" }, result.hits.map((hit) => h("li", {},
    h("img", { src: `${hit.moments[0].thumbnail}?size=256`, alt: name(hit.asset.path), title: `${name(hit.asset.path)} ${percent(hit.relevance)}`, loading: "lazy" })))));
}

async function keys() {
  const { items } = await get("/v1/keys");
  const message = h("p", { class: "message", role: "status" });
  const field = h("input", { required: true, maxlength: 100, placeholder: "name", "aria-label": "Name of the new key" });
  const scope = h("select", { "aria-label": "What it may do" }, ["read", "write", "admin"].map((one) => h("option", { value: one }, one)));
  const add = async (event) => {
    event.preventDefault();
    const wanted = ["read", "write", "admin"].slice(0, ["read", "write", "admin"].indexOf(scope.value) + 1);
    try {
      const made = await call("POST", "/v1/keys", { name: field.value, scopes: wanted });
      await show("keys", "Keys", keys);
      $("keys").append(h("p", { class: "notice" }, `The key of ${made.name}, shown only now: `, h("code", {}, made.key)));
    } catch (error) {
      message.textContent = error.message;
    }
  };
  return [
    items.length
      ? h("ul", { class: "list" }, items.map((key) => h("li", {},
        h("span", { class: "grow" }, key.name, h("small", {}, ` ${key.scopes.join(" ")} · used ${key.used_at ? new Date(key.used_at).toLocaleString() : "never"}${key.revoked_at ? " · revoked" : ""}`)),
        !key.revoked_at && h("button", { class: "button quiet", onclick: () => call("DELETE", `/v1/keys/${key.id}`).then(() => show("keys", "Keys", keys)) }, "Revoke"))))
      : h("p", {}, "No key: only this machine may connect. The first key opens the service to others, and then everyone needs one."),
    h("form", { class: "bar", onsubmit: add }, field, scope, h("button", { class: "button" }, "Make a key")), message];
}
