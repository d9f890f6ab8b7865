// Questions and their answers, as they come: sources first, then checked sentences, each with its citation.

import { stream } from "./api.js";
import { $, h, name, percent, stretch } from "./dom.js";
import { viewById } from "./viewer.js";

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

export function open() {
  $("question").focus();
}

async function answer(question) {
  running?.abort();
  const mine = (running = new AbortController());
  const words = h("p", { class: "answer" }, h("span", { class: "thinking" }, "Reading your library …"));
  const sources = h("div", { class: "sources" });
  $("turns").append(h("li", {}, h("h2", {}, question), words, sources));
  $("question").value = "";
  words.parentElement.scrollIntoView({ block: "start", behavior: "smooth" });
  const sentences = [];
  try {
    await stream("/v1/answers", { question, conversation }, (event, data) => {
      if (event === "sources") sources.replaceChildren(...data.hits.slice(0, 8).map(source));
      else if (event === "text") {
        sentences.push(data.text);
        words.textContent = sentences.join(" ");
      } else if (event === "answer") finish(data, words, sources);
      else if (event === "problem") words.textContent = data.detail || data.title;
    }, mine.signal);
  } catch (error) {
    if (error.name !== "AbortError") words.textContent = error.message;
  }
}

function finish(answer, words, sources) {
  conversation = answer.conversation;
  if (!answer.found) {
    words.textContent = "Your library does not hold the answer.";
    return;
  }
  words.replaceChildren(...withMarks(answer.answer, answer.citations));
  sources.replaceChildren(h("ol", { class: "citations" }, answer.citations.map((citation) => h("li", {},
    h("button", { class: "citation", onclick: () => openCitation(citation) },
      h("img", { src: `/v1/segments/${citation.segment_id}/thumbnail?size=256`, alt: "", loading: "lazy" }),
      h("span", {}, h("q", {}, citation.quote),
        h("small", {}, `${name(citation.path)} ${stretch(citation)} · support ${percent(citation.support)}`)))))));
}

// "... [1]" -> text with buttons that open the citation
function withMarks(text, citations = []) {
  return text.split(/(\[\d+\])/).map((part) => {
    const citation = citations.find((one) => `[${one.number}]` === part);
    if (!citation) return part;
    return h("button", { class: "mark", "aria-label": `Open source ${citation.number}`, onclick: () => openCitation(citation) }, part);
  });
}

function openCitation(citation) {
  const moment = { ...citation, text: citation.quote, relevance: citation.support, thumbnail: `/v1/segments/${citation.segment_id}/thumbnail` };
  viewById(citation.asset_id, moment);
}

function source(hit) {
  return h("img", { src: `${hit.moments[0]?.thumbnail}?size=256`, alt: name(hit.asset.path), title: name(hit.asset.path), loading: "lazy" });
}
