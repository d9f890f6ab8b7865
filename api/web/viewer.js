// Looks at one asset: the picture or the player at its moment, the other moments on a time line, its words, and why.

import { call, get } from "./api.js";
import { $, bytes, clock, h, name, percent, stretch } from "./dom.js";
import { words } from "./results.js";
import { refine } from "./search.js";

const WITNESS = {
  image: "what the picture shows", frame: "what is seen", sound: "what is heard",
  speech: "what is said, by meaning", text: "text in the picture, by meaning", words: "the same words",
};
let turn = 0;

$("viewer-close").addEventListener("click", () => $("viewer").close());
$("viewer").addEventListener("click", (event) => event.target === $("viewer") && $("viewer").close());
$("viewer").addEventListener("close", () => $("viewer-body").replaceChildren());

// `asset` as in results; `moments` those that matched; `moment` the one to begin at.
export async function view(asset, moments = [], moment = moments[0]) {
  const mine = ++turn;
  const content = `/v1/assets/${encodeURIComponent(asset.id)}/content`;
  const player = asset.kind === "image" ? null : makePlayer(asset, content, moment);
  const seek = (to) => {
    player.currentTime = to.start_seconds || 0;
    player.play().catch(() => {});
  };
  const transcript = h("div", { class: "transcript" });
  $("viewer-title").textContent = name(asset.path);
  $("viewer-body").replaceChildren(
    player || h("a", { href: content, target: "_blank", rel: "noopener", class: "full" }, picture(asset, moment, content)),
    player && moments.length ? line(asset, moments, seek) : "",
    actions(asset, moment),
    moments.length ? why(moments, player && seek) : "",
    h("section", {}, h("h3", {}, "Facts"), facts(asset)),
    transcript,
  );
  if (!$("viewer").open) $("viewer").showModal();
  if (player && moment?.start_seconds) player.addEventListener("loadedmetadata", () => { player.currentTime = moment.start_seconds; }, { once: true });
  try {
    const told = await spoken(asset, player && seek);
    if (mine === turn) transcript.replaceChildren(...told);
  } catch (error) {
    transcript.textContent = error.message;
  }
}

function makePlayer(asset, content, moment) {
  const player = h(asset.kind, { src: content, controls: true, preload: "metadata" });
  // What the browser can't play by itself is shown as the clip that the service makes.
  player.addEventListener("error", () => {
    if (moment && !player.dataset.clip) {
      player.dataset.clip = "1";
      player.src = `/v1/segments/${moment.segment_id}/preview`;
    }
  });
  return player;
}

function picture(asset, moment, content) {
  const image = h("img", { src: moment ? `${moment.thumbnail}?size=1024` : content, alt: name(asset.path) });
  return image;
}

function line(asset, moments, seek) {
  const length = asset.duration_seconds || Math.max(...moments.map((moment) => moment.end_seconds || 0)) || 1;
  return h("div", { class: "line", role: "group", "aria-label": "Moments that matched" }, moments.map((moment) =>
    h("button", {
      "--from": (moment.start_seconds || 0) / length,
      "--length": Math.max(0.008, ((moment.end_seconds || 0) - (moment.start_seconds || 0)) / length),
      "--strength": 0.35 + 0.65 * moment.relevance,
      title: `${stretch(moment)} ${moment.text || ""}`,
      "aria-label": `Play from ${clock(moment.start_seconds || 0)}`,
      onclick: () => seek(moment),
    })));
}

function actions(asset, moment) {
  const timed = moment && moment.start_seconds !== null && moment.end_seconds > moment.start_seconds;
  const reference = timed ? `${asset.id}@${moment.start_seconds.toFixed(1)}-${moment.end_seconds.toFixed(1)}` : asset.id;
  const choose = (sign) => { $("viewer").close(); refine(sign, reference); };
  return h("p", { class: "actions" },
    h("button", { class: "button quiet", onclick: () => choose("+") }, "More like this"),
    h("button", { class: "button quiet", onclick: () => choose("-") }, "Less like this"),
    moment && moment.start_seconds !== null && h("a", { class: "button quiet", href: `/v1/segments/${moment.segment_id}/preview`, download: "" }, "Clip"),
    h("a", { class: "button quiet", href: `/v1/assets/${encodeURIComponent(asset.id)}/content`, download: name(asset.path) }, "Original"));
}

function why(moments, seek) {
  return h("section", {}, h("h3", {}, "Why this matched"), h("ol", { class: "why" }, moments.map((moment) => h("li", {},
    seek && h("button", { class: "time", onclick: () => seek(moment) }, stretch(moment)),
    moment.text && h("q", {}, ...words(moment)),
    h("ul", {}, (moment.why || []).map((one) => h("li", {},
      h("span", {}, WITNESS[one.signal] || one.signal),
      h("meter", { min: 0, max: 1, value: one.relevance, "aria-label": "probability" }),
      h("span", { class: "number" }, `${percent(one.relevance)} (score ${one.score.toFixed(2)}, place ${one.rank})`))))))));
}

function facts(asset) {
  const known = [
    ["Path", asset.path],
    ["Size", asset.width && `${asset.width} × ${asset.height}`],
    ["Length", asset.duration_seconds && clock(asset.duration_seconds)],
    ["Captured", asset.captured_at && new Date(asset.captured_at).toLocaleString()],
    ["Camera", asset.camera], ["Title", asset.title], ["Language", asset.language],
    ["Place", asset.latitude !== null && asset.latitude !== undefined && `${asset.latitude.toFixed(4)}, ${asset.longitude.toFixed(4)}`],
    ["File", asset.size_bytes && bytes(asset.size_bytes)],
  ].filter(([, value]) => value);
  return h("dl", {}, known.flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
}

async function spoken(asset, seek) {
  const { items } = await get(`/v1/assets/${encodeURIComponent(asset.id)}/segments?limit=500`);
  const parts = [["speech", "Words spoken"], ["text", "Text seen"], ["sound", "Sounds"]];
  return parts.flatMap(([signal, title]) => {
    const found = items.filter((item) => item.signal === signal);
    if (!found.length) return [];
    return [h("h3", {}, title), h("ul", {}, found.map((item) => h("li", {},
      seek && h("button", { class: "time", onclick: () => seek(item) }, stretch(item)),
      signal === "sound"
        ? h("img", { src: `/v1/segments/${item.id}/spectrogram`, alt: `Spectrogram of ${stretch(item)}`, loading: "lazy", class: "spectrogram" })
        : item.text)))];
  });
}

// Opens a citation or anything else that is known by its id alone.
export async function viewById(assetId, moment) {
  view(await call("GET", `/v1/assets/${encodeURIComponent(assetId)}`), moment ? [moment] : [], moment);
}
