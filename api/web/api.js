// Talks with the service. Every failure becomes an Error whose message is meant for people.

export class Failure extends Error {
  constructor(problem, status) {
    super(problem.detail || problem.title || `The service answered ${status}.`);
    this.status = status;
  }
}

export async function call(method, path, body, headers = {}) {
  const request = { method, headers: { ...headers } };
  if (body instanceof FormData) request.body = body;
  else if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new Failure({ detail: "The service does not answer. Is `medley serve` still running?" }, 0);
  }
  if (response.status === 204) return null;
  const isJson = /json/.test(response.headers.get("content-type") || "");
  const answer = isJson ? await response.json() : { detail: await response.text() };
  if (!response.ok) throw new Failure(answer, response.status);
  return answer;
}

export const get = (path) => call("GET", path);

// Follows server-sent events of a POST: `heard(event, data)` for each.
export async function stream(path, body, heard, signal) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw new Failure(await response.json().catch(() => ({})), response.status);
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
