// Outputs become answers: the decisions that the model was measured by, with scores and places. The same as targets/module/tasks.py.

import { checkLabels } from "./manifest.js";
import { coderOf } from "./search.js";
import { findAnswer } from "./spans.js";
import { byWord, entities, goesOn, OLDER } from "./tags.js";
import { BadInput, checkText, WORDS } from "./texts.js";
import { write } from "./writing.js";

/** model: {manifest, texts, labels, run(encoded) -> [{data, dims}], a batch of one; decoder() of a model that writes}. */
export const ANSWERS = {
  "text-classification": async (model, text, pair = null) => {
    const { function: name = "softmax", multi_label: several = false, thresholds, reads_empty_pair: readsEmptyPair = false } = model.manifest?.answers ?? {};
    const encoded = model.texts.text(text, pair, { readsEmptyPair, mayBeEmpty: ofNoTokens(model) !== null });
    const data = await numbers(model, encoded);
    checkLabels(model.labels, data.length);
    const ranked = [...FUNCTIONS[name](data)].map((score, index) => ({ index, score })).sort((a, b) => b.score - a.score);
    const picked = several ? ranked.filter(({ index, score }) => score >= thresholds[index]) : ranked.slice(0, 1);
    const scores = ranked.map(({ index, score }) => ({ name: model.labels[index], score }));
    return { label: scores[0].name, score: scores[0].score, scores, cut: encoded.cut, chosen: picked.map(({ index }) => model.labels[index]) };
  },

  "token-classification": async (model, text) => {
    const answers = model.manifest?.answers ?? OLDER;
    const given = Array.isArray(text);
    const { spans, whole } = wordsOf(text, answers.words);
    const characters = [...whole];
    const encoded = spans === null
      ? model.texts.placed(whole)
      : model.texts.words(spans.map(([start, end]) => characters.slice(start, end).join("")), given && answers.words === "tokenizer");
    const [{ data, dims }] = await model.run(encoded);
    const count = dims.at(-1);
    checkLabels(model.labels, count);
    let units = [];
    encoded.ids.forEach((id, at) => {
      if (encoded.sequences[at] === null) return;
      const word = spans === null ? null : encoded.words[at];
      const shift = word === null ? 0 : spans[word][0];
      const [start, end] = (encoded.places?.[at] ?? [0, 0]).map((place) => place + shift);
      const continues = encoded.places ? goesOn(characters, start, end, encoded.tokens[at], id, answers) : false;
      units.push({ word, start, end, scores: softmax(data.subarray(at * count, (at + 1) * count)), goesOn: continues });
    });
    if (spans !== null && !(given && answers.words === "tokenizer") && byWord(answers)) units = wholeWords(units, spans, model.labels);
    const places = new Array(characters.length + 1).fill(0); // in UTF-16 units
    characters.forEach((character, index) => { places[index + 1] = places[index] + character.length; });
    const result = entities(units, model.labels, answers).map(({ kind, start, end, score }) => (
      { kind, text: whole.slice(places[start], places[end]), start: places[start], end: places[end], score }));
    return { entities: result, cut: encoded.cut };
  },

  "question-answering": findAnswer,

  "text-generation": write,

  "feature-extraction": async (model, text, { prompt = null } = {}) => {
    checkText(text, "text");
    const encoded = model.texts.text(promptOf(model.manifest, prompt) + text, null, { mayBeEmpty: ofNoTokens(model) !== null });
    checkPrompt(model.manifest.answers ?? {}, prompt, encoded.ids);
    const values = Float32Array.from(await numbers(model, encoded));
    const sparse = model.manifest?.answers?.sparse;
    const codes = coderOf(model.manifest)?.code(values);
    return { values, cut: encoded.cut, ...(codes ? { codes } : {}), ...(sparse ? { weights: weightsOf(values, model.texts) } : {}) };
  },
};

/** Of a table of vectors, which the library answers for; other packs state none (null), and refuse a text without tokens. */
function ofNoTokens(model) {
  return model.manifest?.empty_output ?? null;
}

/** The vector of a text, or the logits of its labels. */
async function numbers(model, encoded) {
  return encoded.ids.length > 0 ? (await model.run(encoded))[0].data : Float32Array.from(ofNoTokens(model));
}

/** The weights of tokens that are not 0, the largest first: a Map, as a token may have any name. */
function weightsOf(values, texts) {
  const places = [...values.keys()].filter((index) => values[index] > 0).sort((a, b) => values[b] - values[a]);
  return new Map(places.map((index) => [texts.token(index), values[index]]));
}

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

/** Of a model whose vectors leave prompts out, which its graph finds by their tokens: no text may begin with one by itself. */
function checkPrompt({ prompt_tokens: stated = {}, default_prompt: standard = null }, prompt, ids) {
  if (Object.keys(stated).length === 0) return;
  const begun = Object.values(stated).filter(({ begin }) => begin.every((id, index) => Number(ids[index]) === id));
  const longest = begun.reduce((best, each) => (best && best.begin.length >= each.begin.length ? best : each), null);
  const named = stated[prompt ?? standard] ?? null;
  if (longest?.begin.join() !== named?.begin.join()) {
    throw new BadInput("the text itself begins with a prompt of the model", "give the text without it, and name the prompt");
  }
  if (longest && ids.length <= longest.count) throw new BadInput("nothing is left of the text: no tokens behind the prompt", "give a longer text");
}

/** spans: [start, end] of every word in characters (code points), null where the tokenizer is to find them; whole: the text. */
function wordsOf(text, words) {
  if (!Array.isArray(text)) {
    checkText(text, "text");
    return { spans: words === "tokenizer" ? null : WORDS[words](text), whole: text };
  }
  for (const word of text) checkText(word, "a word");
  let at = 0;
  const spans = text.map((word) => {
    const span = [at, at + [...word].length];
    at = span[1] + 1;
    return span;
  });
  return { spans, whole: text.join(" ") };
}

/** The same tokens, which belong together as the words do; a word of which no token is left gets the tag O. */
function wholeWords(units, spans, labels) {
  const nothing = labels.map((name) => (name === "O" ? 1 : 0));
  return spans.flatMap(([start, end], word) => {
    const tokens = units.filter((unit) => unit.word === word);
    return (tokens.length > 0 ? tokens : [{ scores: nothing }]).map(({ scores }, index) => ({ start, end, scores, goesOn: index > 0 }));
  });
}

/** What makes scores of logits. */
const FUNCTIONS = {
  softmax,
  sigmoid: (logits) => Float64Array.from(logits, (value) => 1 / (1 + Math.exp(-value))),
  none: (logits) => Float64Array.from(logits),
};

export function softmax(logits) {
  const most = Math.max(...logits);
  const result = Float64Array.from(logits, (value) => Math.exp(value - most));
  const sum = result.reduce((total, value) => total + value, 0);
  return result.map((value) => value / sum);
}
