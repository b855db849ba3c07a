// Outputs become answers: the decisions that the model was measured by, with scores and places. The same as targets/module/tasks.py.

import { BadInput, checkText, splitWords } from "./texts.js";

/** model: {texts, labels, run(encoded) -> [{data, dims}], a batch of one}. */
export const ANSWERS = {
  "text-classification": async (model, text, pair = null) => {
    const encoded = model.texts.text(text, pair);
    const [{ data }] = await model.run(encoded);
    const chances = softmax(data);
    const scores = [...chances].map((score, index) => ({ name: model.labels[index], score })).sort((a, b) => b.score - a.score);
    return { label: scores[0].name, score: scores[0].score, scores, cut: encoded.cut };
  },

  "token-classification": async (model, text) => {
    const { spans, whole } = wordsOf(text);
    const encoded = model.texts.words(spans.map(([start, end]) => whole.slice(start, end)));
    const [{ data, dims }] = await model.run(encoded);
    const count = dims.at(-1);
    const tags = spans.map(() => "O");
    const scores = spans.map(() => 0);
    for (let at = encoded.words.length - 1; at >= 0; at -= 1) { // a word's tag is that of its first token
      const word = encoded.words[at];
      if (word === null) continue;
      const chances = softmax(data.subarray(at * count, (at + 1) * count));
      const best = chances.indexOf(Math.max(...chances));
      tags[word] = model.labels[best];
      scores[word] = chances[best];
    }
    const entities = entitySpans(tags).map(([first, past, kind]) => {
      const [start, end] = [spans[first][0], spans[past - 1][1]];
      const score = scores.slice(first, past).reduce((sum, one) => sum + one, 0) / (past - first);
      return { kind, text: whole.slice(start, end), start, end, score };
    });
    return { entities, cut: encoded.cut };
  },

  "feature-extraction": async (model, text, { prompt = null } = {}) => {
    checkText(text, "text");
    const encoded = model.texts.text(promptOf(model.manifest, prompt) + text);
    const [{ data }] = await model.run(encoded);
    return { values: Float32Array.from(data), cut: encoded.cut };
  },
};

/** The text of a prompt by its name; null: the model's default one, "": none. Older modules state no prompts. */
function promptOf(manifest, prompt) {
  const { prompts = {}, default_prompt: standard = null } = manifest.answers ?? {};
  const name = prompt ?? standard;
  if (!name) return "";
  if (!Object.hasOwn(prompts, name)) {
    throw new BadInput(`the model has no prompt of the name ${JSON.stringify(name)}`, `its prompts: ${Object.keys(prompts).join(", ") || "none"}`);
  }
  return prompts[name];
}

function wordsOf(text) {
  if (!Array.isArray(text)) {
    checkText(text, "text");
    return { spans: splitWords(text), whole: text };
  }
  for (const word of text) checkText(word, "a word");
  let at = 0;
  const spans = text.map((word) => {
    const span = [at, at + word.length];
    at = span[1] + 1;
    return span;
  });
  return { spans, whole: text.join(" ") };
}

/** [first word, past the last, kind] in IOB2: every B- opens one, so does an I- of another kind. */
export function entitySpans(tags) {
  const found = [];
  let start = 0;
  let kind = "";
  [...tags, "O"].forEach((tag, index) => {
    const dash = tag.indexOf("-");
    const prefix = dash < 0 ? tag : tag.slice(0, dash);
    const name = dash < 0 ? "" : tag.slice(dash + 1);
    if (kind && (prefix !== "I" || name !== kind)) {
      found.push([start, index, kind]);
      kind = "";
    }
    if (prefix === "B" || (prefix === "I" && !kind)) {
      start = index;
      kind = name;
    }
  });
  return found;
}

export function softmax(logits) {
  const most = Math.max(...logits);
  const found = Float64Array.from(logits, (one) => Math.exp(one - most));
  const sum = found.reduce((total, one) => total + one, 0);
  return found.map((one) => one / sum);
}
