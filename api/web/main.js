// The page's frame: which view is shown, the key, the library's pulse in the header, and the viewer above all.

import * as address from "./base/address.js";
import { $, failure } from "./base/dom.js";
import { count } from "./base/format.js";
import { enter, load } from "./base/session.js";
import * as status from "./base/status.js";
import * as viewer from "./parts/viewer.js";
import * as ask from "./views/ask.js";
import * as library from "./views/library.js";
import * as search from "./views/search.js";
import * as settings from "./views/settings.js";

const VIEWS = { search, ask, library, settings };
let opened = null; // address of the view that is open, without what the viewer shows

function show() {
  if (location.hash === "#content") return; // the skip link
  const { view: named, parameters } = address.read();
  const view = named in VIEWS ? named : "search";
  const own = new URLSearchParams(parameters);
  own.delete("asset");
  for (const name of ["at", "page", "box", "lines"]) own.delete(name);
  const wanted = address.link(view, own);
  document.title = `${VIEWS[view].title(own)} – Medley`;
  if (wanted !== opened || !parameters.get("asset")) {
    const again = wanted === opened;
    const looking = $("viewer").open;
    if (!parameters.get("asset")) viewer.follow(parameters); // first: a dialog that closes takes the focus along
    for (const one of Object.keys(VIEWS)) $(`view-${one}`).hidden = one !== view;
    for (const link of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("nav.views a"))) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (!again || !looking) {
      if (opened && !again) scrollTo(0, 0);
      VIEWS[view].open(own);
    }
    opened = wanted;
  }
  viewer.follow(parameters);
}

async function needKey() {
  const session = await load();
  if (!session.key_needed) return;
  const dialog = $("key-dialog");
  dialog.showModal();
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  await new Promise((done) => {
    $("key-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await enter($("key").value.trim());
        await load();
        dialog.close();
        done(null);
      } catch (error) {
        $("key-message").textContent = error.message;
      }
    });
  });
}

function pulse(now) {
  if (!now) {
    $("pulse").textContent = "no connection";
    $("pulse").classList.remove("busy");
    return;
  }
  const left = status.left(now);
  const { indexed, quarantined } = now.assets;
  $("pulse").textContent = left ? `indexing, ${count(left, "file")} left` : `${count(indexed, "file")}${quarantined ? `, ${quarantined} not readable` : ""}`;
  $("pulse").classList.toggle("busy", left > 0);
}

try {
  await needKey();
  addEventListener("key-needed", () => $("key-dialog").open || needKey().then(() => location.reload()));
  viewer.start();
  status.start();
  for (const view of Object.values(VIEWS)) view.start();
  address.follow(show);
  status.follow(pulse);
  show();
} catch (error) {
  $("view-search").hidden = false;
  $("search-message").replaceChildren(failure(error));
}
