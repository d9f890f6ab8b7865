// Questions and their answers, as they come: sources first, then checked sentences, each with its citation.

import * as address from "../base/address.js";
import { assetUrl, stream, url } from "../base/api.js";
import { $, failure, h } from "../base/dom.js";
import { described, name, percent, where } from "../base/format.js";
import * as shelf from "../base/shelf.js";

export const title = () => "Ask";

let conversation = null;
let running = null;

export function start() {
  $("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const question = $("question").value.trim();
    if (question) answer(question);
  });
  $("ask-new").addEventListener("click", () => {
    running?.abort();
    conversation = null;
    $("turns").replaceChildren();
    $("question").focus();
  });
}

/** @param {URLSearchParams} parameters */
export function open(parameters) {
  const about = (parameters.get("about") || "").split(" ").filter(Boolean);
  $("about").replaceChildren(...about.map((reference) => h("li", {},
    h("img", { src: `${assetUrl(reference.split("@")[0], "thumbnail")}?size=256`, alt: "", width: 32, height: 32 }), h("span", {}, "about this"),
    h("button", { type: "button", "aria-label": "Ask about the whole library", onclick: () => address.go("ask") }, "✕"))));
  if (!parameters.get("asset")) $("question").focus();
}

async function answer(question) {
  running?.abort();
  const mine = (running = new AbortController());
  const words = h("p", { class: "answer" }, h("span", { class: "thinking" }, "Reading your library …"));
  const sources = h("div", { class: "sources" });
  $("turns").append(h("li", {}, h("h2", {}, question), words, sources));
  $("question").value = "";
  words.parentElement.scrollIntoView({ block: "start", behavior: "smooth" });
  const about = address.read().parameters.get("about");
  const body = { question, conversation, ...(about ? { assets: about.split(" ") } : {}) };
  const sentences = [];
  try {
    await stream("/v1/answers", body, (event, data) => {
      if (event === "sources") read(data.hits, sources);
      else if (event === "text") {
        sentences.push(data.text);
        words.textContent = sentences.join(" ");
      } else if (event === "answer") finish(data, words, sources);
      else if (event === "problem") words.replaceWith(failure(new Error(data.detail || data.title)));
    }, mine.signal);
  } catch (error) {
    if (error.name !== "AbortError") words.replaceWith(failure(error));
  }
}

function read(hits, sources) {
  shelf.fill(hits);
  sources.replaceChildren(...hits.slice(0, 8).map((hit) => h("button", { type: "button", class: "source", title: name(hit.asset.path), onclick: () => look(hit.asset.id, hit.moments[0]) },
    h("img", { src: hit.moments[0] ? `${url(hit.moments[0].thumbnail)}?size=256` : assetUrl(hit.asset.id, "thumbnail"), alt: described(hit.asset), loading: "lazy" }))));
}

function finish(answer_, words, sources) {
  conversation = answer_.conversation;
  if (!answer_.found) {
    const lines = answer_.closest || [];
    if (lines.length) {
      words.textContent = "Your library holds no sure answer. These lines come closest:";
      sources.prepend(listed(lines));
    } else words.textContent = `Your library does not hold the answer.${answer_.hits.length ? " These come closest:" : ""}`;
    return;
  }
  words.replaceChildren(...withMarks(answer_.answer, answer_.citations));
  sources.replaceChildren(listed(answer_.citations));
}

const listed = (citations) => h("ol", { class: "citations" }, citations.map((citation) => h("li", {},
  h("button", { type: "button", class: "citation", onclick: () => look(citation.asset_id, citation) },
    h("img", { src: `${url(`v1/segments/${citation.segment_id}/thumbnail`)}?size=256`, alt: "", loading: "lazy" }),
    h("span", {}, h("q", {}, citation.quote),
      h("small", {}, `${name(citation.path)} ${where(citation)} · support ${percent(citation.support)}`))))));

// "... [1]" -> text with buttons that open the citation
function withMarks(text, citations = []) {
  return text.split(/(\[\d+\])/).map((part) => {
    const citation = citations.find((one) => `[${one.number}]` === part);
    if (!citation) return part;
    return h("button", { type: "button", class: "mark", "aria-label": `Open source ${citation.number}`, onclick: () => look(citation.asset_id, citation) }, part);
  });
}

const look = (id, moment) => address.go("ask", address.changed(address.at(id, moment)), { viewer: true });
