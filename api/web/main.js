// The page's frame: which view is shown, the key, and the library's pulse in the header.

import { call, get } from "./api.js";
import { $, count } from "./dom.js";
import * as ask from "./ask.js";
import * as library from "./library.js";
import * as search from "./search.js";
import * as settings from "./settings.js";

const VIEWS = { search, ask, library, settings };

// #/search?q=a+dog -> ["search", URLSearchParams]
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return [path in VIEWS ? path : "search", new URLSearchParams(query)];
}

function show() {
  if (location.hash === "#content") return; // the skip link
  const [wanted, parameters] = place();
  for (const view of Object.keys(VIEWS)) $(`view-${view}`).hidden = view !== wanted;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === wanted) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  VIEWS[wanted].open(parameters);
}

async function needKey() {
  const session = await get("/v1/session");
  if (!session.key_needed) return;
  const dialog = $("key-dialog");
  dialog.showModal();
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  await new Promise((done) => {
    $("key-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await call("POST", "/v1/session", undefined, { Authorization: `Bearer ${$("key").value.trim()}` });
        dialog.close();
        done();
      } catch (error) {
        $("key-message").textContent = error.message;
      }
    });
  });
}

function pulse() {
  const events = new EventSource("/v1/events");
  events.addEventListener("status", (event) => {
    const status = JSON.parse(event.data);
    const { indexed, pending, working, quarantined } = status.assets;
    const left = pending + working;
    $("pulse").textContent = left
      ? `indexing, ${count(left, "file")} left`
      : `${count(indexed, "file")}${quarantined ? `, ${quarantined} failed` : ""}`;
    $("pulse").classList.toggle("busy", left > 0);
    library.heard(status);
  });
  addEventListener("pagehide", () => events.close());
}

try {
  await needKey();
  addEventListener("hashchange", show);
  for (const view of Object.values(VIEWS)) view.start?.();
  show();
  pulse();
} catch (error) {
  $("view-search").hidden = false;
  $("search-message").textContent = error.message;
}
