// A video or recording, playing from its moment, with captions; below it a line of its whole length with the moments
// that matched, a picture of what is under the pointer, and a transcript that follows along.

import { assetUrl, url } from "../base/api.js";
import { h } from "../base/dom.js";
import { clock, name, stretch } from "../base/format.js";

/**
 * @param {any} asset @param {any[]} moments @param {any} moment @param {number} at seconds to begin at
 * @returns {{element: any, seek: (seconds: number) => void, know: (segments: any[]) => void, follow: (list: any, passages: any[]) => void}}
 */
export function player(asset, moments, moment, at) {
  const media = h(asset.kind === "video" ? "video" : "audio", { src: assetUrl(asset.id, "content"), controls: true, preload: "metadata", playsinline: true, "aria-label": name(asset.path) });
  if (asset.kind === "video") media.poster = moment ? `${url(moment.thumbnail)}?size=1024` : `${assetUrl(asset.id, "thumbnail")}?size=1024`;
  // What the browser can't play by itself is shown as the clip that the service makes.
  media.addEventListener("error", () => {
    if (!moment || media.dataset.clip) return;
    media.dataset.clip = "1";
    media.src = url(`v1/segments/${moment.segment_id}/preview`);
    play();
  });
  const play = () => media.play().catch(() => { // without a click before, browsers play only what is silent
    if (asset.kind !== "video" || media.muted) return;
    media.muted = true;
    media.play().catch(() => {});
  });
  const seek = (seconds) => {
    media.currentTime = seconds;
    play();
  };
  media.addEventListener("loadedmetadata", () => {
    if (!media.dataset.clip && at) media.currentTime = at;
    play();
  }, { once: true });
  const length = asset.duration_seconds || Math.max(1, ...moments.map((one) => one.end_seconds || 0));
  const line = timeLine(asset, moments, length, media, seek);
  return {
    element: h("div", { class: `player ${asset.kind}` }, media, line.element),
    seek,
    know: (segments) => {
      line.know(segments.filter((one) => one.signal === "frame"));
      if (segments.some((one) => one.signal === "speech" && one.text)) {
        media.append(h("track", { kind: "captions", label: "What is said", srclang: asset.language || "en", src: `${assetUrl(asset.id, "subtitles")}?format=vtt` }));
      }
    },
    follow: (list, passages) => follow(media, list, passages),
  };
}

function timeLine(asset, moments, length, media, seek) {
  let frames = [];
  const picture = h("img", { alt: "" });
  const time = h("span");
  const preview = h("div", { class: "preview", hidden: true }, picture, time);
  const head = h("div", { class: "head" });
  const bar = h("div", { class: "line", role: "group", "aria-label": "Moments that matched" },
    asset.kind === "audio" && h("img", { src: assetUrl(asset.id, "waveform"), alt: "", class: "wave-line" }),
    moments.filter((one) => one.start_seconds !== null).map((one) => h("button", {
      type: "button", "--from": one.start_seconds / length, "--length": Math.max(0.004, ((one.end_seconds || 0) - one.start_seconds) / length),
      "--strength": 0.35 + 0.6 * one.relevance, title: `${stretch(one)} ${one.text || ""}`, "aria-label": `Play from ${clock(one.start_seconds)}`,
      onclick: (event) => {
        event.stopPropagation();
        seek(one.start_seconds);
      },
    })), head);
  const under = (event) => {
    const box = bar.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  bar.addEventListener("pointermove", (event) => {
    const share = under(event);
    time.textContent = clock(share * length);
    const nearest = frames.filter((frame) => frame.start_seconds <= share * length).pop() || frames[0];
    picture.hidden = !nearest;
    if (nearest) picture.src = `${url(`v1/segments/${nearest.id}/thumbnail`)}?size=256`;
    preview.style.setProperty("--at", String(share));
    preview.hidden = false;
  });
  bar.addEventListener("pointerleave", () => { preview.hidden = true; });
  bar.addEventListener("click", (event) => seek(under(event) * length));
  media.addEventListener("timeupdate", () => head.style.setProperty("--at", String(media.currentTime / length)));
  return { element: h("div", { class: "time-line" }, preview, bar), know: (found) => { frames = found.sort((a, b) => a.start_seconds - b.start_seconds); } };
}

/** The passage that is being said is marked, and kept in sight unless the reader has it elsewhere. */
function follow(media, list, passages) {
  let current = null;
  media.addEventListener("timeupdate", () => {
    const now = media.currentTime;
    const place = passages.findIndex((one) => one.start_seconds <= now && now < one.end_seconds);
    const item = list.children[place] || null;
    if (item === current) return;
    current?.removeAttribute("aria-current");
    current = item;
    if (!item) return;
    item.setAttribute("aria-current", "true");
    const [above, below] = [item.offsetTop - list.offsetTop, item.offsetTop - list.offsetTop + item.offsetHeight];
    if (above < list.scrollTop || below > list.scrollTop + list.clientHeight) list.scrollTo({ top: above - list.clientHeight / 3, behavior: "smooth" });
  });
}
