// Target: onnxruntime-web in a browser's worker. One job in, one JSON object out; the server gives it /runtime/, /pack/ and these files.

import { modelFiles, openedInBrowser, startInBrowser, usefulThreads } from "../web/src/session.mjs";
import { perform } from "./protocol.mjs";
import { Refused, errorOf } from "./refused.mjs";

const CACHE = "edgepack-measure";
// (func (result v128) i32.const 0, i8x16.splat, i8x16.popcnt): valid only where 128-bit SIMD is known.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

const here = (name) => new URL(name, `${location.origin}/`).href;
let answered = null;

/** Asks the driver, beside the browser, about the page's own process; null where it cannot tell either. */
function probe(what) {
  return new Promise((resolve) => {
    answered = resolve;
    postMessage({ probe: what });
  });
}

function facts() {
  const simd = WebAssembly.validate(Uint8Array.from(SIMD));
  const threads = globalThis.crossOriginIsolated === true;
  return {
    arch: "wasm32",
    cpu_part: simd && threads ? "wasm-simd128" : null,
    cores: usefulThreads(),
    isa: [...(simd ? ["simd128"] : []), ...(threads ? ["threads"] : [])],
    hardware_concurrency: navigator.hardwareConcurrency ?? null,
    cross_origin_isolated: threads,
    user_agent: navigator.userAgent,
    timer_us: timerStep(),
    python: null,
  };
}

/** The smallest step of performance.now() that was seen, in microseconds: 5 in an isolated page of Chromium, 100 in others. */
function timerStep() {
  let least = Number.POSITIVE_INFINITY;
  for (let count = 0, last = performance.now(); count < 50; ) {
    const now = performance.now();
    if (now === last) continue;
    least = Math.min(least, now - last);
    last = now;
    count += 1;
  }
  return Math.round(least * 1e3);
}

/** A file of the pack from the browser's own store, else over the network. */
async function bytesOf(name) {
  const url = here(`pack/${name}`);
  const cached = await (await stored())?.match(url);
  const response = cached ?? (await fetch(url));
  if (!response.ok) throw new Refused(`${name} of the pack is missing: the server says ${response.status}`, "measure again");
  return new Uint8Array(await response.arrayBuffer());
}

async function stored() {
  return (await caches.has(CACHE)) ? caches.open(CACHE) : null;
}

/** Puts the pack's model into the browser's store, as a page that was here before has it. */
async function keep(manifest) {
  try {
    const cache = await caches.open(CACHE);
    for (const { name } of modelFiles(manifest)) await cache.put(here(`pack/${name}`), await fetch(here(`pack/${name}`)));
  } catch (error) {
    throw new Refused(`the browser cannot keep the model's files: ${error.message}`, "free some space on the disk of temporary files");
  }
  return { kept: true };
}

async function startRuntime(threads) {
  const began = performance.now();
  const ort = await import(here("runtime/ort.wasm.min.mjs"));
  await startInBrowser(ort, here("runtime/"), threads); // no part of a session's load
  return { ort, importMs: performance.now() - began };
}

async function run(job) {
  const known = facts();
  if (job.kind === "facts") return { machine: known };
  const stated = await fetch(here("pack/runnable.json"));
  const packed = await (await fetch(here("pack/pack.json"))).json();
  const manifest = { ...(stated.ok ? await stated.json() : packed), files: packed.files }; // schema 1 has pack.json alone
  if (job.kind === "keep") return keep(manifest);
  if (job.threads > known.cores) throw new Refused(`this page can run ${known.cores} threads, not ${job.threads}`, "measure with fewer");
  const { ort, importMs } = job.kind === "quiet" ? {} : await startRuntime(job.threads);
  return perform({
    ort,
    name: "onnxruntime-web",
    version: ort?.env.versions.web ?? null,
    importMs: importMs ?? null,
    manifest,
    facts: () => known,
    bytesRead: () => null, // the server counts what it sent
    resetPeak: async () => (await probe("reset_peak")) === true,
    resident: () => probe("resident"),
    cpuSeconds: () => probe("cpu_seconds"),
    open: async (wanted) => { // `exact` asks for nothing here: WebAssembly's products of 8 bits do not saturate
      const weights = modelFiles(manifest).map(({ name }) => name).filter((name) => name !== manifest.model);
      const start = performance.now();
      const files = await Promise.all([wanted.model, ...weights].map(async (name) => [name, await bytesOf(name)]));
      const readMs = performance.now() - start;
      const run = await openedInBrowser(ort, wanted, Object.fromEntries(files));
      const times = { read_ms: readMs, decode_ms: run.decodeMs, decoded_bytes: wanted.coded?.bytes ?? null };
      return Object.assign(run, { times: wanted.coded ? times : null });
    },
  }, job);
}

onmessage = async ({ data }) => {
  if (data.job === undefined) return answered(data.probed);
  return run(data.job).then((result) => postMessage({ result }), (error) => postMessage({ result: errorOf(error) }));
};
