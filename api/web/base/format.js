// Numbers, times and names as people read them.

/** @param {number} share */
export const percent = (share) => `${Math.round(share * 100)} %`;
/** @param {string} path */
export const name = (path) => path.split("/").pop() || path;
/** How a caption is said: by a small model, and not always right. @param {any} asset */
export const seems = (asset) => (asset.kind === "audio" ? "seems to sound like" : "seems to show");
/** Its name, and what it seems to show or sound like, for those who can't see it. @param {any} asset */
export const described = (asset) => (asset.caption ? `${name(asset.path)}; ${seems(asset)}: ${asset.caption}` : name(asset.path));
/** @param {string} path */
export const folder = (path) => path.split("/").slice(0, -1).join("/") || "/";
/** @param {number} number @param {string} one @param {string} many */
export const count = (number, one, many = `${one}s`) => `${number.toLocaleString()} ${number === 1 ? one : many}`;

/** Seconds as 1:02:03, or 0:08.2 with tenths. @param {number} seconds @param {boolean} tenths */
export function clock(seconds, tenths = false) {
  const rounded = Math.max(0, tenths ? Math.floor(seconds * 10 + 1e-6) / 10 : Math.floor(seconds));
  const [hours, minutes] = [Math.floor(rounded / 3600), Math.floor(rounded / 60) % 60];
  const rest = rounded % 60;
  const tail = tenths ? rest.toFixed(1).padStart(4, "0") : String(rest).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/**
 * A stretch of time, as precise as it takes to tell its ends apart.
 * @param {{start_seconds: number | null, end_seconds: number | null}} moment
 */
export function stretch({ start_seconds: start, end_seconds: end }) {
  if (start === null || start === undefined) return "";
  if (end === null || end === undefined || end <= start) return clock(start);
  const fine = clock(start) === clock(end);
  return `${clock(start, fine)}–${clock(end, fine)}`;
}

/** A moment's time, page or lines. @param {any} moment */
export function where(moment) {
  if (moment.page) return `page ${moment.page}`;
  if (moment.lines) return moment.lines[0] === moment.lines[1] ? `line ${moment.lines[0]}` : `lines ${moment.lines[0]}–${moment.lines[1]}`;
  return stretch(moment);
}

/** @param {number} number */
export function bytes(number) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (number < 1000) return `${number.toFixed(number < 10 && unit !== "B" ? 1 : 0)} ${unit}`;
    number /= 1000;
  }
  return `${number.toFixed(1)} TB`;
}

/** About how long, in words. @param {number} seconds */
export function roughly(seconds) {
  if (seconds < 60) return "less than a minute";
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? count(minutes, "minute") : count(Math.round(minutes / 60), "hour");
}

/** A day of the library, in UTC as it is kept. @param {string | null} iso */
export function day(iso) {
  if (!iso) return "Without a date";
  return new Date(iso).toLocaleDateString(undefined, { timeZone: "UTC", weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

/** 2022-12 -> December 2022. @param {string} text */
export const month = (text) => new Date(`${text}-01T00:00:00Z`).toLocaleDateString(undefined, { timeZone: "UTC", month: "long", year: "numeric" });

/** @param {string} kind */
export const kindName = (kind) => ({ image: "photo", video: "video", audio: "recording", document: "document" })[kind] || "file";
