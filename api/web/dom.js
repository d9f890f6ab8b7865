// Making elements and showing numbers. Text always enters the page as text, never as HTML.

export const $ = (id) => document.getElementById(id);

// h("li", { class: "hit", onclick: f, "aria-label": "..." }, child, "text", ...)
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value); // the CSP allows no style attributes
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const tail = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

export function stretch({ start_seconds: start, end_seconds: end }) {
  if (start === null || start === undefined) return "";
  return end > start ? `${clock(start)}–${clock(end)}` : clock(start);
}

export const percent = (share) => `${Math.round(share * 100)} %`;
export const name = (path) => path.split("/").pop();
export const count = (number, one, many = `${one}s`) => `${number.toLocaleString()} ${number === 1 ? one : many}`;

export function bytes(number) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (number < 1000) return `${number.toFixed(number < 10 && unit !== "B" ? 1 : 0)} ${unit}`;
    number /= 1000;
  }
  return `${number.toFixed(1)} TB`;
}

// The words of a moment with those that matched marked: `ranges` are [start, end) in characters (code points).
export function marked(text, ranges) {
  const letters = Array.from(text);
  const parts = [];
  let at = 0;
  for (const [start, end] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (start < at) continue;
    parts.push(letters.slice(at, start).join(""), h("mark", {}, letters.slice(start, end).join("")));
    at = end;
  }
  return [...parts, letters.slice(at).join("")];
}
