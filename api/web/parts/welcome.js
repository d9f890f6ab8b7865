// The first run: choose a folder, see it being read.

import { get } from "../base/api.js";
import { $, h } from "../base/dom.js";
import { may } from "../base/session.js";
import { chooser } from "./folders.js";
import { progress } from "./indexing.js";

/** What stands where results will be. */
export async function guide() {
  const now = await get("/v1/status"); // not what was heard last: a folder may just have been added
  const begun = now && now.assets.total > 0;
  const added = () => guide().then((content) => $("welcome").replaceChildren(...content));
  if (begun || now?.sources.length) {
    return [h("h2", {}, "Your library is being read"), h("p", {}, "What can be found already appears here while the rest goes on."), progress()];
  }
  if (!may("admin")) return [h("h2", {}, "This library is empty"), h("p", {}, "Whoever keeps it has to add a folder first.")];
  return [
    h("h2", {}, "Begin with a folder of photos, videos or recordings"),
    h("p", {}, "Medley reads it and the folders in it, changes nothing there, and sends nothing anywhere. You can search while it reads."),
    await chooser(added),
  ];
}
