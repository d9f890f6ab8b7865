// Uploading files: each with what became of it; one that fails stops no other.

import { call } from "../base/api.js";
import { h } from "../base/dom.js";
import { count } from "../base/format.js";

/** @returns {{element: any, send: (files: File[]) => Promise<void>}} */
export function uploads() {
  const list = h("ul", { class: "list uploads" });
  const words = h("p", { class: "message", role: "status" });
  const input = h("input", { type: "file", multiple: true, class: "hidden", onchange: (event) => send([...event.target.files]) });
  const send = async (files) => {
    const rows = files.map((file) => h("li", {}, h("span", { class: "grow" }, file.name), h("span", { class: "outcome" }, "waits")));
    list.prepend(...rows);
    let failed = 0;
    for (const [place, file] of files.entries()) {
      words.textContent = `Uploading ${place + 1} of ${files.length}`;
      const outcome = rows[place].lastChild;
      outcome.textContent = "uploading …";
      const form = new FormData();
      form.set("file", file);
      try {
        const made = await call("POST", "/v1/assets", form);
        outcome.textContent = made.known ? "in the library already" : "uploaded";
      } catch (error) {
        failed += 1;
        outcome.textContent = error.message;
        outcome.classList.add("warning");
      }
    }
    words.textContent = `${count(files.length - failed, "file")} uploaded; searchable in a moment.${failed ? ` ${count(failed, "file")} could not be taken.` : ""}`;
  };
  return { element: h("div", {}, h("label", { class: "button quiet" }, "Upload files", input), h("span", { class: "help" }, " or drop them here"), words, list), send };
}
