// Choosing a folder of the machine that serves: by looking through its folders, home first, or by typing its path.

import { call, get } from "../base/api.js";
import { button, failure, h } from "../base/dom.js";
import { count } from "../base/format.js";

/** @param {(source: any) => any} added is told when a folder was added @returns {Promise<any>} an element */
export async function chooser(added) {
  const message = h("div");
  const field = h("input", { name: "root", required: true, placeholder: "~/Pictures", "aria-label": "Folder to add", autocomplete: "off", spellcheck: "false" });
  const leaving = patterns([]);
  const list = h("ul", { class: "folders" });
  const here = h("p", { class: "help" });
  const tell = (error) => message.replaceChildren(failure(error));

  const look = async (path) => {
    try {
      const found = await get(`/v1/folders${path ? `?${new URLSearchParams({ path })}` : ""}`);
      field.value = found.path || field.value;
      here.textContent = found.path ? `${found.path}${found.media ? `: ${count(found.media, "media file")} in it` : ""}` : "";
      list.replaceChildren(
        ...(found.path ? [h("li", {}, button(found.parent ? "↑ The folder above" : "↑ Where to begin", () => look(found.parent)))] : []),
        ...found.folders.map((folder) => h("li", {}, button(folder.name, () => look(folder.path), { disabled: !folder.readable, title: folder.path }))));
      message.replaceChildren();
      return found;
    } catch (error) {
      tell(error);
      return null;
    }
  };
  const add = async (event) => {
    event.preventDefault();
    try {
      const excludes = written(leaving); // without any, a folder that is known keeps its own
      const source = await call("POST", "/v1/sources", { root: field.value.trim(), ...(excludes.length && { excludes }) });
      message.replaceChildren(h("p", { class: "message", role: "status" }, inside(field.value.trim(), source.root)));
      await added(source);
    } catch (error) {
      tell(error);
    }
  };
  const first = await look(null);
  if (first?.needs) return h("p", { class: "notice" }, `Folders can't be added from here yet: ${first.needs}, and start the service again. On the machine itself, `, h("code", {}, "medley index FOLDER"), " works without.");
  return h("div", { class: "chooser" }, list, here, h("form", { onsubmit: add },
    h("div", { class: "bar" }, field, h("button", { class: "button" }, "Add this folder")),
    h("details", {}, h("summary", {}, "Leave something out"), leaving, h("p", { class: "help" }, HOW))), message);
}

const HOW = "One pattern a line, as in a .gitignore: drafts/ is a folder, *.tmp.jpg are files; !@eaDir/ takes back what is left out by default.";

/** A field for what a source leaves out. @param {string[]} lines */
const patterns = (lines) => h("textarea", { rows: "3", "aria-label": "What to leave out, one pattern a line", placeholder: "drafts/", autocomplete: "off", spellcheck: "false" }, lines.join("\n"));

/** @returns {string[]} */
const written = (field) => field.value.split("\n").map((line) => line.trim()).filter(Boolean);

/** What a source leaves out, to be seen and changed. @param {any} source @param {(source: any) => any} changed @returns {any} an element */
export function leavesOut(source, changed) {
  const field = patterns(source.excludes);
  const message = h("div");
  const keep = async (event) => {
    event.preventDefault();
    try {
      await changed(await call("POST", "/v1/sources", { root: source.root, excludes: written(field) }));
    } catch (error) {
      message.replaceChildren(failure(error));
    }
  };
  return h("details", { class: "leaves-out" },
    h("summary", {}, source.excludes.length ? `Leaves out ${source.excludes.join(", ")}` : "Leaves nothing more out"),
    h("form", { onsubmit: keep }, field, h("p", { class: "help" }, HOW), h("button", { class: "button" }, "Keep, and look again")), message);
}

const inside = (wanted, root) => (wanted.startsWith(`${root}/`) ? `That folder is part of ${root}, which is in the library already; it is being looked at again.` : `${root} is in the library; it is being read.`);
