// The model in a worker, so that the page never waits. Messages: {id, kind, arguments} in, {id, result | error | progress} out.

import * as ort from "onnxruntime-web/wasm";
import { ANSWERS } from "./answers.js";
import { fetchChecked, fetchManifest, forgetOthers } from "./files.js";
import { modelFiles, oneText, openedInBrowser, startInBrowser } from "./session.mjs";
import * as signer from "./signer.js";
import { Texts } from "./texts.js";

let model = null;

const KINDS = {
  load: async ({ base, threads }, progress) => {
    const manifest = await fetchManifest(base, signer);
    const wanted = [...modelFiles(manifest), ...manifest.files.filter(({ name }) => name === "tokenizer.json")];
    const total = wanted.reduce((sum, entry) => sum + entry.bytes, 0);
    let loaded = 0;
    const onBytes = (count) => progress({ loaded: (loaded += count), total });
    const runtime = startInBrowser(ort, new URL("runtime/", base), threads); // compiles while the weights are still on their way
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
      await model.run({ ids });
      spent.push(performance.now() - began);
    }
    return spent;
  },
};

async function opened(manifest, files) {
  const { "tokenizer.json": tokenizer, ...ofModel } = files;
  const ask = await openedInBrowser(ort, manifest, ofModel);
  const texts = new Texts(JSON.parse(new TextDecoder().decode(tokenizer)), manifest.max_length);
  const labels = Object.entries(manifest.labels).sort(([a], [b]) => a - b).map(([, name]) => name);
  const run = ({ ids, typeIds }) => ask(oneText(ort, manifest.inputs, ids, { typeIds }));
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
