// The model in a worker, so that the page never waits. Messages: {id, kind, arguments} in, {id, result | error | progress} out.

import * as ort from "onnxruntime-web/wasm";
import { ANSWERS } from "./answers.js";
import { decoded } from "./coded.mjs";
import { Decoder } from "./decoder.mjs";
import { Changed } from "./errors.js";
import { fetchChecked, fetchManifest, fetchOnce, forgetOthers, keptOrMade } from "./files.js";
import { proof } from "./proof.js";
import { isDecoder, modelFiles, oneText, openedInBrowser, startInBrowser } from "./session.mjs";
import * as signer from "./signer.js";
import { Texts } from "./texts.js";

let model = null;

const KINDS = {
  load: async ({ base, threads }, progress) => {
    const manifest = await fetchManifest(base, signer);
    if (!Object.hasOwn(ANSWERS, manifest.task)) throw new Changed("module.json.task is none that this module answers");
    const wanted = [...modelFiles(manifest), ...manifest.files.filter(({ name }) => name === "tokenizer.json")];
    const total = wanted.reduce((sum, entry) => sum + entry.bytes, 0);
    let loaded = 0;
    const onBytes = (count) => progress({ loaded: (loaded += count), total });
    const runtime = startInBrowser(ort, new URL("runtime/", base), threads); // compiles while the weights are still on their way
    const contents = await Promise.all(wanted.map((entry) => contentOf(base, manifest, entry, onBytes)));
    const files = Object.fromEntries(contents);
    await runtime;
    model = await opened(manifest, files);
    model.base = base;
    forgetOthers(base, [...manifest.files, ...expanded(manifest)]).catch(() => {});
    return { task: manifest.task, name: manifest.name, labels: model.labels, maxLength: manifest.max_length, threads: ort.env.wasm.numThreads, comparedBy: manifest.answers?.similarity ?? "cosine", codesOf: manifest.answers?.codes ? manifest.answers : null };
  },
  ask: ({ id, texts }, send) => {
    if (!isDecoder(model.manifest)) return ANSWERS[model.manifest.task](model, ...texts);
    const [prompt, settings] = texts;
    const onText = (piece) => { send({ piece }); };
    return ANSWERS[model.manifest.task](model, prompt, { ...settings, onText, pause: heard, isStopped: () => stopped.has(id) });
  },
  selfTest: async () => {
    const entry = model.manifest.files.find(({ name }) => name === "golden.jsonl");
    if (!entry) throw new Changed("module.json lists no golden.jsonl");
    const lines = new TextDecoder().decode(await fetchChecked(model.base, entry, () => {})).trim().split("\n");
    return proof(model, lines.map((line) => JSON.parse(line)));
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

/** What the browser keeps beside the module's own files. */
function expanded({ coded }) {
  return coded?.start === "expand" ? [{ name: coded.file, sha256: coded.sha256 }] : [];
}

/** A file's name and bytes. Coded weights that are to be expanded are decoded once, and kept under the hash of what they decode to. */
async function contentOf(base, { coded }, entry, onBytes) {
  if (entry.name !== coded?.coded || coded.start !== "expand") return [entry.name, await fetchChecked(base, entry, onBytes)];
  let wasMade = false;
  const bytes = await keptOrMade(base, { name: coded.file, sha256: coded.sha256 }, async () => {
    wasMade = true;
    return decoded(await fetchOnce(base, entry, onBytes), coded);
  });
  if (!wasMade) onBytes(entry.bytes);
  return [coded.file, bytes];
}

async function opened(manifest, files) {
  const { "tokenizer.json": tokenizer, ...ofModel } = files;
  const ask = await openedInBrowser(ort, manifest, ofModel);
  const texts = new Texts(JSON.parse(new TextDecoder().decode(tokenizer)), manifest.max_length, manifest.vocab ?? Infinity);
  const labels = Object.entries(manifest.labels).sort(([a], [b]) => a - b).map(([, name]) => name);
  const run = ({ ids, typeIds }) => ask(oneText(ort, manifest.inputs, ids, { typeIds }));
  return { manifest, texts, labels, run, decoder: () => new Decoder(ort, manifest, ask) };
}

/** Lets messages through that came while the model was at work. */
function heard() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); resolve(); };
    port2.postMessage(null);
  });
}

const stopped = new Set(); // numbers of calls that nobody waits for any more
let last = Promise.resolve(); // one after the other: a session runs one text at a time

onmessage = ({ data: { id, kind, input } }) => {
  if (kind === "stop") {
    stopped.add(input);
    return;
  }
  last = last.then(async () => {
    try {
      const given = kind === "ask" ? { id, texts: input } : input;
      const result = await KINDS[kind](given, (progress) => postMessage({ id, progress }));
      postMessage({ id, result });
    } catch (error) {
      const { name, problem = String(error?.message ?? error), fix = "run the self-test; load the page anew" } = error ?? {};
      postMessage({ id, error: { name: name ?? "Error", problem, fix } });
    }
    stopped.delete(id);
  });
};
