// Searches a library from Node (18 or newer) without any package:
//   node clients/node/search.mjs "a dog on the beach"
// MEDLEY_URL (default http://127.0.0.1:8000) and MEDLEY_KEY say where, and as whom.
const url = process.env.MEDLEY_URL ?? "http://127.0.0.1:8000";
const headers = { "content-type": "application/json" };
if (process.env.MEDLEY_KEY) headers.authorization = `Bearer ${process.env.MEDLEY_KEY}`;

const text = process.argv.slice(2).join(" ");
const answer = await fetch(`${url}/v1/search`, { method: "POST", headers, body: JSON.stringify({ text, limit: 5 }) });
const result = await answer.json();
if (!answer.ok) {
  console.error(`${result.detail} (${result.type})`);
  process.exit(1);
}
if (!result.matched) console.log("Nothing matches well; these come closest:");
for (const { asset, relevance, moments } of result.hits) {
  const [{ start_seconds: start, text: words }] = moments;
  const where = start === null ? "" : ` at ${start.toFixed(1)} s`;
  console.log(`${Math.round(relevance * 100)} %  ${asset.path}${where}${words ? `: ${words}` : ""}`);
}
