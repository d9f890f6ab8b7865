// Talks with the service. Every failure becomes an Error whose message is meant for people.

const base = new URL(".", document.baseURI); // the page may lie below a path, behind a proxy

/** A path of the service, such as /v1/status, wherever the page lies. @param {string} path */
export const url = (path) => new URL(path.replace(/^\//, ""), base).href;

/** @param {string} id @param {string} what */
export const assetUrl = (id, what) => url(`v1/assets/${encodeURIComponent(id)}/${what}`);

export class Failure extends Error {
  /** @param {any} problem @param {number} status */
  constructor(problem, status) {
    super(problem.detail || problem.title || `The service answered ${status}.`);
    this.status = status;
  }
}

/** The library has got its first key, or ours was revoked, since the page was opened: main.js asks for one. */
function refused(problem, status) {
  if (status === 401) dispatchEvent(new Event("key-needed"));
  return new Failure(problem, status);
}

const silent = () => new Failure({ detail: "The service does not answer. Is `medley serve` still running?" }, 0);

/** @param {string} method @param {string} path @param {any} [body] @param {Record<string, string>} [headers] */
export async function call(method, path, body, headers = {}) {
  /** @type {RequestInit & {headers: Record<string, string>}} */
  const request = { method, headers: { ...headers } };
  if (body instanceof FormData) request.body = body;
  else if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(url(path), request);
  } catch {
    throw silent();
  }
  if (response.status === 204) return null;
  const isJson = /json/.test(response.headers.get("content-type") || "");
  const answer = isJson ? await response.json() : { detail: await response.text() };
  if (!response.ok) throw refused(answer, response.status);
  return answer;
}

/** @param {string} path */
export const get = (path) => call("GET", path);

/**
 * Follows server-sent events of a POST: `heard(event, data)` for each.
 * @param {string} path @param {any} body @param {(event: string, data: any) => void} heard @param {AbortSignal} signal
 */
export async function stream(path, body, heard, signal) {
  let response;
  try {
    response = await fetch(url(path), {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
      body: JSON.stringify(body),
      signal,
    });
  } catch (error) {
    throw error.name === "AbortError" ? error : silent();
  }
  if (!response.ok) throw refused(await response.json().catch(() => ({})), response.status);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (waiting + value.replaceAll("\r", "")).split("\n\n");
    waiting = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const event = lines.find((line) => line.startsWith("event:"))?.slice(6).trim();
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (event && data) heard(event, JSON.parse(data));
    }
  }
}
