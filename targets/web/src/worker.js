// The model in a worker, so that the page never waits. Messages: {id, kind, arguments} in, {id, result | error | progress} out.

import * as ort from "onnxruntime-web/wasm";
import { ANSWERS } from "./answers.js";
import { fetchChecked, fetchManifest, forgetOthers } from "./files.js";
import { int64, sessionOptions, warmRuntime } from "./session.mjs";
import * as signer from "./signer.js";
import { Texts } from "./texts.js";

const MOST_THREADS = 4; // more gain nothing that a page would notice
let model = null;

const KINDS = {
  load: async ({ base, threads }, progress) => {
    const manifest = await fetchManifest(base, signer);
    const wanted = manifest.files.filter((entry) => entry.name.startsWith(manifest.model) || entry.name === "tokenizer.json");
    const total = wanted.reduce((sum, entry) => sum + entry.bytes, 0);
    let loaded = 0;
    const onBytes = (count) => progress({ loaded: (loaded += count), total });
    const runtime = startRuntime(base, threads);
    const contents = await Promise.all(wanted.map((entry) => fetchChecked(base, entry, onBytes)));
    const files = Object.fromEntries(wanted.map((entry, index) => [entry.name, contents[index]]));
    await runtime;
    model = await opened(manifest, files);
    model.base = base;
    forgetOthers(base, manifest.files).catch(() => {});
    return { task: manifest.task, name: manifest.name, labels: model.labels, maxLength: manifest.max_length, threads: ort.env.wasm.numThreads };
  },
  ask: (texts) => ANSWERS[model.manifest.task](model, ...texts),
  selfTest: async () => {
    const entry = model.manifest.files.find(({ name }) => name === "golden.jsonl");
    const lines = new TextDecoder().decode(await fetchChecked(model.base, entry, () => {})).trim().split("\n");
    return proof(lines.map((line) => JSON.parse(line)));
  },
  count: ({ text }) => model.texts.text(text).ids.length,
  time: async ({ length, runs }) => { // of the bare runtime, for a comparison with what an answer takes
    const ids = Array.from({ length }, (_, index) => (index * 7919) % model.manifest.vocab);
    const spent = [];
    for (let run = 0; run < runs; run += 1) {
      const began = performance.now();
      await model.run({ ids, typeIds: ids.map(() => 0) });
      spent.push(performance.now() - began);
    }
    return spent;
  },
};

/** The runtime's own files lie beside this one. Threads need a page with COOP and COEP headers: without them there is one. */
function startRuntime(base, threads) {
  ort.env.logLevel = "error";
  ort.env.wasm.wasmPaths = {
    mjs: new URL("runtime/ort-wasm-simd-threaded.mjs", base).href,
    wasm: new URL("runtime/ort-wasm-simd-threaded.wasm", base).href,
  };
  const useful = Math.min(MOST_THREADS, Math.max(1, navigator.hardwareConcurrency ?? 1));
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? (threads ?? useful) : 1;
  return warmRuntime(ort, "wasm"); // compiles while the weights are still on their way
}

async function opened(manifest, files) {
  const data = Object.keys(files).filter((name) => name !== manifest.model && name.startsWith(manifest.model));
  const session = await ort.InferenceSession.create(files[manifest.model], {
    executionProviders: ["wasm"],
    externalData: data.map((name) => ({ path: name, data: files[name] })),
    ...sessionOptions(manifest),
  });
  const texts = new Texts(JSON.parse(new TextDecoder().decode(files["tokenizer.json"])), manifest.max_length);
  const labels = Object.entries(manifest.labels).sort(([a], [b]) => a - b).map(([, name]) => name);
  const run = async ({ ids, typeIds }) => {
    const known = { input_ids: ids, attention_mask: ids.map(() => 1), token_type_ids: typeIds };
    const feeds = Object.fromEntries(manifest.inputs.map((name) => [name, int64(ort, known[name], [1, ids.length])]));
    const outputs = await session.run(feeds);
    return manifest.outputs.map((name) => ({ data: outputs[name].data, dims: outputs[name].dims }));
  };
  return { manifest, texts, labels, run };
}

/**
 * Of int8 the mean difference over a text's outputs is held against the tolerance, and the largest one is told: WebAssembly rounds its
 * last bits otherwise, which moves a step of int8 now and then (in twelve layers by 0.5 once in 1,500 tokens, where the mean stays 0.04).
 */
async function proof(golden) {
  const { golden_tolerance: tolerance, precision } = model.manifest;
  const result = { ok: true, problem: null, texts: golden.length, idsEqual: 0, largestDifference: 0, largestMean: 0, tolerance };
  for (const entry of golden) {
    const encoded = entry.words ? model.texts.words(entry.words) : model.texts.text(entry.text, entry.text_pair ?? null);
    const shown = JSON.stringify(entry.words ?? entry.text).slice(0, 60);
    if (JSON.stringify(encoded.ids) !== JSON.stringify(entry.input_ids)) return { ...result, ok: false, problem: `other token ids for ${shown}` };
    result.idsEqual += 1;
    const [{ data }] = await model.run({ ids: entry.input_ids, typeIds: entry.token_type_ids });
    const expected = entry.output.flat();
    const gaps = expected.map((value, index) => Math.abs(value - (data.length === expected.length ? data[index] : Number.NaN)));
    const [largest, mean] = [Math.max(...gaps), gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length];
    result.largestDifference = Math.max(result.largestDifference, largest);
    result.largestMean = Math.max(result.largestMean, mean);
    const gap = precision === "int8" ? mean : largest;
    if (!(gap <= tolerance)) return { ...result, ok: false, problem: `${shown} is answered otherwise: off by ${gap}, limit ${tolerance}` };
  }
  return result;
}

let last = Promise.resolve(); // one after the other: a session runs one text at a time

onmessage = ({ data: { id, kind, input } }) => {
  last = last.then(async () => {
    try {
      const result = await KINDS[kind](input, (progress) => postMessage({ id, progress }));
      postMessage({ id, result });
    } catch (error) {
      const { name, problem = String(error?.message ?? error), fix = "run the self-test; load the page anew" } = error ?? {};
      postMessage({ id, error: { name: name ?? "Error", problem, fix } });
    }
  });
};
