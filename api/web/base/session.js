// Who is here, and what they may do: what they may not is not shown.

import { call, get } from "./api.js";

/** @type {{name: string, scopes: string[], key_needed: boolean, features: string[]}} */
let session = { name: "", scopes: [], key_needed: true, features: [] };

export async function load() {
  session = { features: [], ...(await get("/v1/session")) };
  return session;
}

/** @param {string} key */
export const enter = (key) => call("POST", "/v1/session", undefined, { Authorization: `Bearer ${key}` });
export const leave = () => call("DELETE", "/v1/session");

/** @param {"read" | "write" | "admin"} scope */
export const may = (scope) => session.scopes.includes(scope);
/** @param {string} feature */
export const has = (feature) => session.features.includes(feature);
/** Is this the person at the machine, without any key? */
export const isLocal = () => session.name === "loopback";
export const who = () => session.name;
