// How a pack's ONNX file is opened and fed by JavaScript, in a module's worker as where a pack is measured.

import { decoded } from "./coded.mjs";

// An ONNX file of one Identity.
const NOTHING = "CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEA0=";
const MOST_THREADS = 4; // of a page: more gain nothing that it would notice
const LEVELS = { disable_all: "disabled", basic: "basic", extended: "extended", all: "all" };

/** The settings that the pack was measured with, as InferenceSession.create takes them. */
export function sessionOptions(manifest) {
  return {
    graphOptimizationLevel: LEVELS[manifest.session.graph_optimization_level],
    extra: nested(manifest.session.config),
  };
}

/** Opens a file, as bytes or by its path; what runs it: feeds by name become arrays, {data, dims}, in the order of the file's outputs. */
export async function opened(ort, file, options) {
  const session = await ort.InferenceSession.create(file, options);
  return async (feeds) => {
    const results = await session.run(feeds);
    return session.outputNames.map((name) => results[name]);
  };
}

/**
 * The same in WebAssembly. files: bytes by name, of the model and of the files that hold its weights, coded or not.
 * The function has the time of decoding as `decodeMs`.
 */
export async function openedInBrowser(ort, manifest, files) {
  const names = Object.keys(files).filter((name) => name !== manifest.model);
  const start = performance.now();
  const externalData = await Promise.all(names.map((name) => weights(manifest.coded, name, files[name])));
  const decodeMs = performance.now() - start;
  const options = { executionProviders: ["wasm"], externalData, ...sessionOptions(manifest) };
  return Object.assign(await opened(ort, files[manifest.model], options), { decodeMs });
}

/** A file of weights as the runtime takes it. */
async function weights(coded, name, bytes) {
  return name === coded?.coded ? { path: coded.file, data: await decoded(bytes, coded) } : { path: name, data: bytes };
}

/** The manifest's files that the runtime opens: the model, and beside it the files that hold its weights. */
export function modelFiles({ model, files, coded }) {
  return files.filter(({ name }) => name === model || name.startsWith(`${model}.`) || name === coded?.coded);
}

/** Makes `ort` start in a page. folder: the URL of its own files. Threads need a page with COOP and COEP headers: without them there is one. */
export function startInBrowser(ort, folder, threads = usefulThreads()) {
  ort.env.logLevel = "error";
  const fileUrl = (name) => new URL(`ort-wasm-simd-threaded.${name}`, folder).href;
  ort.env.wasm.wasmPaths = { mjs: fileUrl("mjs"), wasm: fileUrl("wasm") };
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? threads : 1;
  return warmRuntime(ort, "wasm");
}

/** As many threads as a page can use. */
export function usefulThreads() {
  return globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, Math.max(1, navigator.hardwareConcurrency ?? 1)) : 1;
}

/** Whether the file writes text token by token, with its keys and values kept. */
export function isDecoder(manifest) {
  return (manifest.cache ?? []).length > 0;
}

/** Makes the runtime `ort` compile and start, which it does at its first session. */
export async function warmRuntime(ort, provider) {
  const nothing = Uint8Array.from(atob(NOTHING), (character) => character.charCodeAt(0));
  const session = await ort.InferenceSession.create(nothing, { executionProviders: [provider], intraOpNumThreads: 1 });
  await session.release();
}

/** One text, or a part of it, by the inputs' names. shown: tokens that the mask shows, where there are others before it. */
export function oneText(ort, names, ids, { typeIds = ids.map(() => 0), shown = ids.length } = {}) {
  const known = { input_ids: ids, attention_mask: new Array(shown).fill(1), token_type_ids: typeIds };
  return Object.fromEntries(names.map((name) => [name, int64(ort, known[name], [1, known[name].length])]));
}

/** Token ids, or a mask, of `dims` as a tensor of `ort`, the runtime's own module. */
export function int64(ort, values, dims) {
  return new ort.Tensor("int64", BigInt64Array.from(values, BigInt), dims);
}

/** "session.disable_prepacking": "1" as the runtime takes it here: {session: {disable_prepacking: "1"}}. */
function nested(config) {
  const result = {};
  for (const [key, value] of Object.entries(config ?? {})) {
    const parts = key.split(".");
    const last = parts.pop();
    parts.reduce((place, part) => (place[part] ??= {}), result)[last] = value;
  }
  return result;
}
