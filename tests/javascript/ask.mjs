// For tests: a web module's own sources answer in Node, after their self-test. `node ask.mjs MODULE`, a JSON list of calls in, a list of answers out.

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const folder = path.resolve(process.argv[2]);
const source = (name) => import(pathToFileURL(path.join(folder, "src", name)).href);
const { default: ort } = await import(pathToFileURL(createRequire(path.join(folder, "src", "x.js")).resolve("onnxruntime-web/wasm")).href);
const [{ Texts }, { ANSWERS }, { modelFiles, oneText, openedInBrowser }, { proof }, { Decoder }] = await Promise.all(
  ["texts.js", "answers.js", "session.mjs", "proof.js", "decoder.mjs"].map(source),
);
const file = (name) => readFile(path.join(folder, "dist", "model", name));
const manifest = JSON.parse(await file("module.json"));
ort.env.logLevel = "error";
ort.env.wasm.numThreads = 1;
const contents = modelFiles(manifest).map(async ({ name }) => [name, new Uint8Array(await file(name))]);
const run = await openedInBrowser(ort, manifest, Object.fromEntries(await Promise.all(contents)));
const model = {
  manifest,
  texts: new Texts(JSON.parse(await readFile(path.join(folder, "dist", "model", "tokenizer.json"), "utf8")), manifest.max_length, manifest.vocab),
  labels: Object.entries(manifest.labels).sort(([a], [b]) => a - b).map(([, name]) => name),
  run: ({ ids, typeIds }) => run(oneText(ort, manifest.inputs, ids, { typeIds })),
};
model.decoder = () => new Decoder(ort, manifest, run);
const golden = (await readFile(path.join(folder, "dist", "model", "golden.jsonl"), "utf8")).trim().split("\n");
const tested = await proof(model, golden.map((line) => JSON.parse(line)));
if (tested.ok && (tested.idsEqual !== tested.idsAsked || tested.idsAsked + tested.fromIds !== tested.texts)) throw new Error(JSON.stringify(tested));
if (!tested.ok) throw new Error(`the self-test says no: ${tested.problem}`);
const answers = [];
const { similarity } = await source("similarity.js");
let first = null;
for (const call of JSON.parse(readFileSync(0, "utf8"))) {
  const [text, second] = call; // the second of a text for a vector is the name of a prompt, of a prompt the most tokens
  const inside = { "feature-extraction": "prompt", "text-generation": "maxTokens" }[manifest.task];
  const asked = inside && second !== undefined ? [text, { [inside]: second }] : call;
  let answer;
  try {
    answer = await ANSWERS[manifest.task](model, ...asked);
  } catch (error) {
    if (error.name !== "Unable") throw error;
    answers.push({ unable: error.problem });
    continue;
  }
  first ??= answer;
  if (answer.values) answer.similarity = similarity(manifest.answers?.similarity ?? "cosine", first, answer);
  const weights = answer.weights ? { weights: Object.fromEntries(answer.weights) } : {};
  answers.push(answer.values ? { ...answer, values: [...answer.values], ...weights } : answer);
}
process.stdout.write(JSON.stringify(answers), () => process.exit(0)); // a pipe takes long answers piece by piece
