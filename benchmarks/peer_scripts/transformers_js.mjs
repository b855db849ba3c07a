// A pack loaded by transformers.js: `node transformers_js.mjs PACK` prints its answers to the golden texts as JSON.
// A decoder writes greedily behind the first tokens of each text: PACK is followed by how many it reads, and how many it writes.
//
// What its loader must be told, as a pack is laid out: subfolder "" (it looks into onnx/), dtype "fp32" (it adds no _quantized to
// the name: what the file holds is its own business), and the name of the external data (it looks for model.onnx_data).
import { readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, Tensor, env } from "@huggingface/transformers";

const pack = process.argv[2];
const [read, write] = process.argv.slice(3).map(Number);
const manifest = JSON.parse(readFileSync(`${pack}/pack.json`, "utf8"));
env.allowRemoteModels = false;
env.localModelPath = `${dirname(pack)}/`;
const classes = {
  "text-classification": AutoModelForSequenceClassification,
  "feature-extraction": AutoModel,
  "text-generation": AutoModelForCausalLM,
};
const data = `${manifest.model}.data`;
const settings = {
  subfolder: "",
  dtype: "fp32",
  model_file_name: manifest.model.replace(/\.onnx$/, ""),
  session_options: { externalData: [{ path: data, data }], graphOptimizationLevel: "disabled" },
};
const tokenizer = await AutoTokenizer.from_pretrained(basename(pack));
const model = await classes[manifest.task].from_pretrained(basename(pack), settings);
const answers = [];
for (const line of readFileSync(`${pack}/golden.jsonl`, "utf8").trim().split("\n")) {
  const golden = JSON.parse(line);
  if (manifest.task === "text-generation") {
    answers.push(await written(golden.input_ids.slice(0, read)));
    continue;
  }
  const outputs = await model(await tokenizer(golden.text, { text_pair: golden.text_pair, truncation: true }));
  answers.push(Array.from(outputs[manifest.outputs[0]].data));
}
async function written(prompt) {
  const tensor = (value) => new Tensor("int64", BigInt64Array.from(value, BigInt), [1, prompt.length]);
  const inputs = { input_ids: tensor(prompt), attention_mask: tensor(prompt.map(() => 1)) };
  const whole = await model.generate({ ...inputs, do_sample: false, min_new_tokens: write, max_new_tokens: write });
  return whole.tolist()[0].slice(prompt.length).map(Number);
}
console.log(JSON.stringify({ class: model.constructor.name, answers, labels: model.config.id2label ?? {} }));
