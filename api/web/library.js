// The library's state: progress, folders, jobs, failures, copies of the same thing, uploads.

import { call, get } from "./api.js";
import { $, clock, count, h, name, percent } from "./dom.js";
import { viewById } from "./viewer.js";

const TIERS = { exact: "the same bytes", perceptual: "altered copies", meaning: "nearly the same scene" };
let latest = null;

export function start() {
  $("view-library").append(
    h("section", { id: "account" }), h("section", { id: "sources" }), h("section", { id: "jobs" }),
    h("section", { id: "failures" }), h("section", { id: "copies" }));
}

export function open() {
  if (latest) account(latest);
  else get("/v1/status").then(account, (error) => say("account", "Files", error.message));
  for (const load of [sources, jobs, failures]) load().catch((error) => say(load.name, load.name, error.message));
  say("copies", "Copies", h("button", { class: "button quiet", onclick: copies }, "Look for copies"));
}

export function heard(status) {
  latest = status;
  if (!$("view-library").hidden) {
    account(status);
    jobs().catch(() => {});
  }
}

function say(id, title, ...content) {
  $(id).replaceChildren(h("h2", {}, title), ...content.flat().filter(Boolean));
}

function account({ assets, unread, segments, space }) {
  const done = assets.indexed + assets.quarantined + assets.missing;
  say("account", "Files",
    h("progress", { max: Math.max(1, assets.total), value: done, "aria-label": "Files looked at" }),
    h("dl", { class: "figures" }, Object.entries(assets).flatMap(([state, number]) => [h("dt", {}, state), h("dd", {}, number.toLocaleString())])),
    h("p", { class: "help" }, `${Object.entries(segments).map(([signal, number]) => count(number, signal, signal)).join(", ") || "nothing"} searchable, space ${space}`),
    unread > 0 && h("p", { class: "help" }, `The text in ${count(unread, "picture")} is still being read.`),
    h("label", { class: "button quiet" }, "Upload files", h("input", { type: "file", multiple: true, class: "hidden", onchange: upload })),
    h("p", { id: "uploads", class: "message", role: "status" }));
}

async function upload(event) {
  const files = [...event.target.files];
  for (const [place, file] of files.entries()) {
    $("uploads").textContent = `Uploading ${place + 1} of ${files.length}: ${file.name}`;
    const form = new FormData();
    form.set("file", file);
    try {
      await call("POST", "/v1/assets", form);
    } catch (error) {
      $("uploads").textContent = `${file.name}: ${error.message}`;
      return;
    }
  }
  $("uploads").textContent = `${count(files.length, "file")} uploaded; searchable in a moment.`;
}

async function sources() {
  const { items } = await get("/v1/sources");
  const field = h("input", { name: "root", required: true, placeholder: "/home/me/Pictures", "aria-label": "Folder to add" });
  const message = h("p", { class: "message", role: "alert" });
  const add = async (event) => {
    event.preventDefault();
    await act(message, () => call("POST", "/v1/sources", { root: field.value.trim() }), sources);
  };
  say("sources", "Folders",
    items.length ? h("ul", { class: "list" }, items.map((source) => h("li", {},
      h("span", { class: "grow" }, source.root, source.reason && h("small", { class: "warning" }, ` paused: ${source.reason}`)),
      h("button", { class: "button quiet", onclick: () => act(message, () => call("POST", `/v1/sources/${source.id}/scan`), jobs) }, "Scan"),
      h("button", { class: "button quiet", onclick: () => confirm(`Forget ${source.root} and everything found in it? The files stay.`)
        && act(message, () => call("DELETE", `/v1/sources/${source.id}`), sources) }, "Remove"))))
      : h("p", {}, "No folder yet. Add one here, or run ", h("code", {}, "medley index ~/Pictures --recursive"), "."),
    h("form", { class: "bar", onsubmit: add }, field, h("button", { class: "button" }, "Add")), message);
}

async function jobs() {
  const { items } = await get("/v1/jobs?limit=10");
  const act = (job, action) => call("POST", `/v1/jobs/${job.id}/${action}`).then(jobs);
  say("jobs", "Jobs", items.length ? h("ul", { class: "list" }, items.map((job) => h("li", {},
    h("span", { class: "grow" }, `${job.kind}: ${job.state}${job.stage ? `, ${job.stage}` : ""}${job.error ? `, ${job.error}` : ""}`,
      job.total > 0 && h("progress", { max: job.total, value: job.done, "aria-label": `${job.kind} progress` }),
      job.seconds_left && h("small", {}, ` ${clock(job.seconds_left)} left`)),
    job.state === "running" && h("button", { class: "button quiet", onclick: () => act(job, "pause") }, "Pause"),
    job.state === "paused" && h("button", { class: "button quiet", onclick: () => act(job, "resume") }, "Resume"),
    ["running", "paused"].includes(job.state) && h("button", { class: "button quiet", onclick: () => act(job, "cancel") }, "Cancel"))))
    : h("p", { class: "help" }, "None."));
}

async function failures() {
  const { items } = await get("/v1/failures?limit=100");
  const message = h("p", { class: "message", role: "alert" });
  say("failures", "Failures", items.length
    ? [h("button", { class: "button quiet", onclick: () => act(message, () => call("POST", "/v1/failures/retry"), failures) }, "Try all again"),
      message,
      h("ul", { class: "list" }, items.map((one) => h("li", {}, h("span", { class: "grow" }, name(one.path), h("small", { class: "warning" }, ` ${one.reason}`)))))]
    : h("p", { class: "help" }, "None: every file is accounted for."));
}

async function copies() {
  say("copies", "Copies", h("p", {}, "Looking …"));
  try {
    const { items } = await get("/v1/duplicates?limit=100");
    say("copies", "Copies", items.length ? h("ul", { class: "list" }, items.map((group) => h("li", {},
      h("span", { class: "grow" }, `${TIERS[group.tier] || group.tier}, ${percent(group.likeness)}`),
      group.assets.map((asset) => h("button", { class: "cover small", "aria-label": `Open ${name(asset.path)}`, onclick: () => viewById(asset.id) },
        h("img", { src: `/v1/assets/${asset.id}/thumbnail?size=256`, alt: name(asset.path), loading: "lazy" }))))))
      : h("p", {}, "No copies."));
  } catch (error) {
    say("copies", "Copies", error.message);
  }
}

async function act(message, work, then) {
  try {
    await work();
    await then();
  } catch (error) {
    message.textContent = error.message;
  }
}
