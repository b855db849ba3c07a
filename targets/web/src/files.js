// The module's files, each once over the network: streamed with progress, kept in the browser's cache under their hash, and checked by
// that hash every time before anything reads them.

import { Changed } from "./errors.js";
import { readManifest } from "./manifest.js";

const CACHE = "edgepack-modules";

/** Bytes of an entry of module.json's files. onBytes(count) is told of every part that came over the network, or of the whole from the cache. */
export async function fetchChecked(base, entry, onBytes) {
  let asked = false;
  const bytes = await keptOrMade(base, entry, () => {
    asked = true;
    return fetchOnce(base, entry, onBytes);
  });
  if (!asked) onBytes(bytes.length);
  return bytes;
}

/** What the browser keeps under a name and a hash; where it keeps nothing, or something else, what make() gives, which it keeps then. */
export async function keptOrMade(base, entry, make) {
  const url = urlOf(base, entry);
  const cache = await openCache();
  const cached = await cache?.match(url);
  if (cached) {
    const bytes = new Uint8Array(await cached.arrayBuffer());
    if ((await sha256(bytes)) === entry.sha256) return bytes;
    await cache.delete(url); // somebody changed what the browser kept
  }
  const bytes = await make();
  if (cache) await keep(cache, url, bytes);
  return bytes;
}

/** A file over the network, checked and not kept. */
export async function fetchOnce(base, entry, onBytes) {
  const bytes = await download(urlOf(base, entry), entry, onBytes);
  if ((await sha256(bytes)) !== entry.sha256) throw new Changed(`${entry.name} was changed: its hash is not the one it was shipped with`);
  return bytes;
}

function urlOf(base, { name, sha256: digest }) {
  return new URL(`model/${name}?sha256=${digest}`, base).href;
}

/** module.json, with the signature of the key that the module knows where it knows one. */
export async function fetchManifest(base, signer) {
  const bytes = await wholeFile(new URL("model/module.json", base));
  if (signer.PUBLIC_KEYS.length > 0) await checkSignature(bytes, await wholeFile(new URL("model/module.sig", base)), signer.PUBLIC_KEYS);
  const manifest = readManifest(bytes);
  if (signer.NAME) checkRelease(manifest, signer, new Date());
  return manifest;
}

/** Changed where module.json is another module's, older than the code allows, or expired by this device's clock. */
export function checkRelease(manifest, { NAME, MINIMUM_VERSION }, now) {
  if (manifest.name !== NAME) throw new Changed(`module.json belongs to the module ${JSON.stringify(manifest.name)}, and this is "${NAME}"`);
  if (isOlder(manifest.version, MINIMUM_VERSION)) {
    throw new Changed(`the model has version ${JSON.stringify(manifest.version)}, and this module opens ${MINIMUM_VERSION} or newer`);
  }
  const { expires = null } = manifest;
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(expires);
  if (expires !== null && !(isTime && now.getTime() < Date.parse(expires))) {
    throw new Changed(`the model expired at ${expires}, by this device's clock`, "publish a newer module, or set the clock");
  }
}

/** Of three numbers each; what is not a version is older than every one. */
export function isOlder(version, least) {
  if (typeof version !== "string" || !/^\d{1,9}\.\d{1,9}\.\d{1,9}$/.test(version)) return true;
  const [numbers, others] = [version, least].map((text) => text.split(".").map(Number));
  const at = numbers.findIndex((number, index) => number !== others[index]);
  return at >= 0 && numbers[at] < others[at];
}

/** Removes what earlier versions of the module left in the cache. */
export async function forgetOthers(base, files) {
  const cache = await openCache();
  const folder = new URL("model/", base).href;
  const current = new Set(files.map((entry) => urlOf(base, entry)));
  for (const request of (await cache?.keys()) ?? []) {
    if (request.url.startsWith(folder) && !current.has(request.url)) await cache.delete(request);
  }
}

export async function checkSignature(bytes, text, publicKeys) {
  let signature = new Uint8Array(); // what is no base64 is not a signature
  try {
    const written = new TextDecoder().decode(text);
    const binary = atob(written.trim());
    if (`${btoa(binary)}\n` === written) signature = Uint8Array.from(binary, (character) => character.charCodeAt(0)); // of several spellings
  } catch {}
  for (const digits of publicKeys) {
    const raw = Uint8Array.from(digits.match(/../g), (pair) => Number.parseInt(pair, 16));
    const key = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
    if (await crypto.subtle.verify("Ed25519", key, signature, bytes)) return;
  }
  throw new Changed("module.json is not signed by a key that this module knows");
}

async function wholeFile(url) {
  const response = await fetch(url, { cache: "no-cache" });
  if (!response.ok) throw new Changed(`${url.pathname} is missing: the server says ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function download(url, entry, onBytes) {
  const response = await fetch(url, { cache: "no-store" }); // kept once, by the hash, and not by the browser's HTTP cache too
  if (!response.ok) throw new Changed(`${entry.name} is missing: the server says ${response.status}`);
  const bytes = new Uint8Array(entry.bytes);
  let at = 0;
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (at + value.length > bytes.length) throw new Changed(`${entry.name} was changed: it is longer than it was shipped`);
    bytes.set(value, at);
    at += value.length;
    onBytes(value.length);
  }
  return bytes.subarray(0, at);
}

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function openCache() {
  try {
    return await caches.open(CACHE);
  } catch {
    return null; // private windows and full disks: the module works, and downloads each time
  }
}

async function keep(cache, url, bytes) {
  try {
    await cache.put(url, new Response(bytes, { headers: { "Content-Type": "application/octet-stream" } }));
  } catch {
    // no room: as above
  }
}
