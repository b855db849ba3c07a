// The self-test: whether this browser answers every golden text as the runtime did when the model was measured. Three things are compared:
// token ids and types, the runtime's outputs, and the decision that this code forms of the golden outputs, which hangs on no rounding.
// The same as targets/module/proof.py.

import { ANSWERS } from "./answers.js";
import { isDecoder } from "./session.mjs";
import { promptOf, write } from "./writing.js";

const SCORE_GAP = 1e-4; // of a score that is computed of the same outputs

/**
 * Of int8 the mean difference over a text's outputs is held against the tolerance, and the largest one is told: WebAssembly rounds its
 * last bits otherwise, which moves a step of int8 now and then (in twelve layers by 0.5 once in 1,500 tokens, where the mean stays 0.04).
 */
export async function proof(model, golden) {
  const { golden_tolerance: tolerance, precision } = model.manifest;
  const idsAsked = golden.filter((entry) => isAsked(entry, model.manifest)).length;
  const counts = { texts: golden.length, idsAsked, fromIds: golden.length - idsAsked, idsEqual: 0, answersEqual: 0 };
  const result = { ok: true, problem: null, ...counts, largestDifference: 0, largestMean: 0, tolerance };
  const replay = new Replay(model, golden);
  for (const entry of golden) {
    const shown = JSON.stringify(entry.words ?? entry.text ?? entry.input_ids).slice(0, 60);
    const asked = isAsked(entry, model.manifest);
    const differs = asked ? await replay.differs(entry) : null;
    if (differs !== null) return { ...result, ok: false, problem: `other ${differs} for ${shown}` };
    result.idsEqual += asked ? 1 : 0;
    result.answersEqual += asked && entry.answer ? 1 : 0;
    const { data, expected } = await outputsOf(model, entry);
    const gaps = expected.map((value, index) => Math.abs(value - (data.length === expected.length ? data[index] : Number.NaN)));
    const [largest, mean] = [Math.max(0, ...gaps), gaps.reduce((sum, gap) => sum + gap, 0) / Math.max(1, gaps.length)];
    result.largestDifference = Math.max(result.largestDifference, largest);
    result.largestMean = Math.max(result.largestMean, mean);
    const gap = precision === "int8" || isDecoder(model.manifest) ? mean : largest;
    if (!(gap <= tolerance)) return { ...result, ok: false, problem: `${shown} is answered otherwise: off by ${gap}, limit ${tolerance}` };
  }
  if (result.idsEqual === 0) return { ...result, ok: false, problem: "no token ids were compared: build the pack again" };
  return result;
}

/** Whether a golden entry is asked as text: not one of ids alone, nor a conversation of a model whose template this module does not render. */
function isAsked({ words, text, messages }, { answers }) {
  return [words, text].some((value) => value !== undefined) || (messages !== undefined && Boolean(answers?.chat_form));
}

/** The golden outputs in the runtime's place, for the code that makes token ids of texts and decisions of outputs. */
class Replay {
  constructor(model, golden) {
    this.manifest = model.manifest;
    this.readsTypes = model.manifest.inputs.includes("token_type_ids");
    this.known = new Map(golden.map((entry) => [this.#key(entry.input_ids, entry.token_type_ids), entry.output]));
    this.some = golden[0]?.output ?? [];
    this.model = { ...model, run: async (encoded) => this.#run(encoded) };
  }

  #key(ids, typeIds) {
    return JSON.stringify(this.readsTypes ? [ids, typeIds] : [ids]);
  }

  /** The golden outputs of these ids, and zeros for ids that no entry has. */
  #run({ ids, typeIds }) {
    this.asked.push({ ids, typeIds });
    const held = this.known.get(this.#key(ids, typeIds));
    this.isWhole &&= held !== undefined;
    const zeros = () => (this.manifest.per_token ? ids.map(() => this.some[0].map(() => 0)) : this.some.map(() => 0));
    const rows = held ?? zeros();
    const dims = Array.isArray(rows[0]) ? [1, rows.length, rows[0].length] : [1, rows.length];
    if (this.manifest.outputs.length === 1) return [{ data: Float32Array.from(rows.flat()), dims }];
    return this.manifest.outputs.map((_, at) => ({ data: Float32Array.from(rows, (row) => row[at]), dims: dims.slice(0, 2) }));
  }

  /** What this browser makes otherwise of an entry with a text: token ids, token types, masks, or the decision. null: nothing. */
  async differs(entry) {
    if (entry.attention_mask?.some((value) => value !== 1)) return "masks";
    if (isDecoder(this.manifest)) return this.#writesOtherwise(entry);
    [this.asked, this.isWhole] = [[], true];
    const answer = await this.#decision(entry);
    const same = (first, second) => JSON.stringify(first) === JSON.stringify(second);
    const calls = this.asked.filter(({ ids }) => same(ids, entry.input_ids));
    if (calls.length === 0 || (entry.answer && !this.isWhole)) return "token ids";
    if (this.readsTypes && !calls.some(({ typeIds }) => same(typeIds, entry.token_type_ids))) return "token types";
    return !entry.answer || isSame(entry.answer, answer) ? null : "decision";
  }

  /** Of a model that writes: the prompt's token ids, and the likeliest tokens behind it, as many as were certain when it was built. */
  async #writesOtherwise(entry) {
    const prompt = entry.messages ?? entry.text;
    if (JSON.stringify(promptOf(this.model, prompt)) !== JSON.stringify(entry.input_ids)) return "token ids";
    if (!entry.answer) return null;
    const { tokens } = await write(this.model, prompt, { maxTokens: entry.answer.max_tokens, temperature: 0 });
    return JSON.stringify(tokens) === JSON.stringify(entry.answer.tokens) ? null : "tokens behind it";
  }

  async #decision(entry) {
    const { task } = this.manifest;
    const second = task === "feature-extraction" ? { prompt: entry.prompt === undefined ? "" : entry.prompt } : (entry.text_pair ?? (task === "question-answering" ? "" : null));
    try {
      const answer = await ANSWERS[task](this.model, entry.words ?? entry.text, second);
      return DECISIONS[task](answer, entry.words ? entry.words.join(" ") : entry.text, entry.text_pair ?? "");
    } catch (error) {
      if (error?.name === "BadInput") return null;
      throw error;
    }
  }
}

/** What of an answer is kept beside golden outputs. Places are counted in characters (code points) there. */
const DECISIONS = {
  "text-classification": ({ label, chosen, scores }) => (
    { label, chosen, scores: Object.fromEntries(scores.map(({ name, score }) => [name, score])) }),
  "token-classification": ({ entities }, text) => {
    const place = (units) => [...text.slice(0, units)].length;
    return { entities: entities.map((entity) => ({ ...entity, start: place(entity.start), end: place(entity.end) })) };
  },
  "question-answering": ({ text: answer, start, end, score }, _, context) => {
    const place = (units) => [...context.slice(0, units)].length;
    return { text: answer, start: place(start), end: place(end), score };
  },
  "feature-extraction": ({ values, codes }) => ({ dimensions: values.length, ...(codes ? { codes: [...codes] } : {}) }),
};

/** Numbers with a point may differ by their rounding; all else is equal. */
function isSame(expected, actual) {
  if (Number.isInteger(expected) && Number.isInteger(actual)) return expected === actual;
  if (typeof expected === "number") return typeof actual === "number" && Math.abs(expected - actual) <= SCORE_GAP * Math.max(1, Math.abs(expected));
  if (Array.isArray(expected)) return Array.isArray(actual) && expected.length === actual.length && expected.every((value, at) => isSame(value, actual[at]));
  if (expected === null || typeof expected !== "object") return expected === actual;
  return actual !== null && typeof actual === "object" && Object.keys(expected).every((key) => Object.hasOwn(actual, key) && isSame(expected[key], actual[key]));
}

/** What the model gives for a golden entry, and what it must give. */
async function outputsOf(model, { input_ids: ids, token_type_ids: typeIds, output }) {
  if (isDecoder(model.manifest)) return { data: await readAlong(model, ids), expected: output.map(([loss]) => loss) };
  const outputs = (await model.run({ ids, typeIds })).map(({ data }) => data);
  if (outputs.length === 1) return { data: outputs[0], expected: output.flat() };
  return { data: Array.from(outputs[0]).flatMap((_, at) => outputs.map((values) => values[at])), expected: output.flat() };
}

/** Negative log-likelihood of each token behind those before it, as the model reads them one by one. */
async function readAlong(model, ids) {
  const decoder = model.decoder();
  const losses = [];
  for (let at = 0; at + 1 < ids.length; at += 1) {
    const { data: logits } = await decoder.step([ids[at]]);
    const peak = logits.reduce((most, value) => Math.max(most, value), -Infinity);
    losses.push(Math.log(logits.reduce((sum, value) => sum + Math.exp(value - peak), 0)) + peak - logits[ids[at + 1]]);
  }
  return losses;
}
