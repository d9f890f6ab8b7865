// What stands beside what: the hits of the view at hand, in their order, for the viewer's previous and next.

/** @type {any[]} */
let hits = [];
/** @type {null | (() => Promise<any>)} */
let fetchMore = null;

/** @param {any[]} shown @param {null | (() => Promise<any>)} more brings further hits, if there are any */
export function fill(shown, more = null) {
  hits = shown;
  fetchMore = more;
}

/** @param {string} id */
export const find = (id) => hits.find((hit) => hit.asset.id === id);

/** The neighbour of an asset, or undefined. @param {string} id @param {1 | -1} step */
export async function beside(id, step) {
  const place = hits.findIndex((hit) => hit.asset.id === id);
  if (place < 0) return undefined;
  if (!hits[place + step] && step > 0 && fetchMore) await fetchMore();
  return hits[place + step];
}
