// The library's state: how far indexing is, folders, jobs, what failed, copies, uploads.

import { call, get } from "../base/api.js";
import { $, attempt, button, failure, h } from "../base/dom.js";
import { clock, count } from "../base/format.js";
import { may } from "../base/session.js";
import * as status from "../base/status.js";
import { copies } from "../parts/copies.js";
import { failures, leftOut, notes } from "../parts/failures.js";
import { contents } from "../parts/filters.js";
import { chooser, leavesOut } from "../parts/folders.js";
import { progress } from "../parts/indexing.js";
import { uploads } from "../parts/uploads.js";

export const title = () => "Library";

const sending = uploads();

export function start() {
  $("view-library").append(...["account", "sources", "jobs", "failures", "notes", "copies"].map((id) => h("section", { id })));
  section("account", "Files", progress(), h("dl", { class: "figures", id: "figures" }), h("p", { class: "help", id: "holds" }), may("write") && sending.element);
  addEventListener("drop", (event) => {
    if (!$("view-library").hidden && may("write")) sending.send([...(event.dataTransfer?.files || [])]);
  });
  status.follow((now) => {
    if (now) figures(now);
    if (now && !$("view-library").hidden) fill("jobs", "Jobs", jobs);
  });
}

export function open() {
  fill("sources", "Folders", sources);
  fill("jobs", "Jobs", jobs);
  fill("failures", "Not readable", () => failures(open));
  fill("notes", "Read in part", notes);
  section("copies", "Copies", button("Look for copies", look));
}

async function look() {
  section("copies", "Copies", h("p", { role: "status" }, "Looking …"));
  await fill("copies", "Copies", () => copies(look));
}

const section = (id, title_, ...content) => $(id).replaceChildren(h("h2", {}, title_), ...content.flat().filter(Boolean));

async function fill(id, title_, load) {
  try {
    section(id, title_, await load());
  } catch (error) {
    section(id, title_, failure(error));
  }
}

const STATES = { indexed: "searchable", pending: "waiting", working: "being read", quarantined: "not readable", missing: "gone" };

function figures({ assets, unread, kinds, space, left_out: reasons }) {
  $("figures").replaceChildren(...[["files", assets.total], ...Object.entries(STATES).map(([state, words]) => [words, assets[state]])]
    .flatMap(([words, number]) => [h("dt", {}, words), h("dd", {}, number.toLocaleString())]));
  $("holds").replaceChildren(...[contents(kinds), unread > 0 && `, the text in ${count(unread, "picture")} is still being read`, space && `; found by the space ${space}.`].filter(Boolean),
    leftOut(reasons));
}

async function sources() {
  const { items } = await get("/v1/sources");
  const message = h("div");
  const reload = () => fill("sources", "Folders", sources);
  const rows = items.map((source) => h("li", {},
    h("span", { class: "grow" }, source.root, !source.recursive && h("small", {}, " without the folders in it"),
      source.reason && h("small", { class: "warning" }, ` paused: ${source.reason}`),
      may("admin") ? leavesOut(source, reload) : source.excludes.length > 0 && h("small", {}, ` without ${source.excludes.join(", ")}`)),
    may("write") && button("Look again", () => attempt(message, async () => {
      await call("POST", `/v1/sources/${source.id}/scan`);
      await fill("jobs", "Jobs", jobs);
    })),
    may("admin") && button("Remove", () => confirm(`Forget ${source.root} and everything found in it? The files stay.`) && attempt(message, async () => {
      await call("DELETE", `/v1/sources/${source.id}`);
      await reload();
    }))));
  return [
    items.length ? h("ul", { class: "list" }, rows) : h("p", {}, "No folder yet. Add one here, or run ", h("code", {}, "medley index ~/Pictures"), "."),
    message,
    may("admin") && h("details", { class: "group", open: !items.length }, h("summary", {}, "Add a folder"), await chooser(reload)),
  ].filter(Boolean);
}

async function jobs() {
  const { items } = await get("/v1/jobs?limit=10");
  if (!items.length) return [h("p", { class: "help" }, "None.")];
  const message = h("div");
  const act = (job, action) => attempt(message, async () => {
    await call("POST", `/v1/jobs/${job.id}/${action}`);
    await fill("jobs", "Jobs", jobs);
  });
  return [h("ul", { class: "list" }, items.map((job) => h("li", {},
    h("span", { class: "grow" }, `${job.kind}: ${job.state}${job.stage && job.state === "running" ? `, ${job.stage}` : ""}${job.error ? `, ${job.error}` : ""}`,
      job.total > 0 && h("progress", { max: job.total, value: job.done + job.failed, "aria-label": `${job.kind} progress` }),
      job.seconds_left && h("small", {}, ` ${clock(job.seconds_left)} left`)),
    may("write") && [
      job.state === "running" && button("Pause", () => act(job, "pause")),
      job.state === "paused" && button("Resume", () => act(job, "resume")),
      ["running", "paused"].includes(job.state) && button("Cancel", () => act(job, "cancel"))]))), message];
}
