// What a model's folder says of its next token, before one is chosen: penalties, and tokens that are forced or forbidden. As
// targets/penalties.py, in float32 and in the order of transformers.

/** The logits by which a token is chosen behind `ids`; the same array where nothing changes. */
export class Penalties {
  /** answers: the manifest's; promptLength in tokens; most: tokens of the whole, the prompt's among them. */
  constructor(answers, promptLength, most, stopIds) {
    this.answers = answers ?? {};
    this.promptLength = promptLength;
    this.most = most;
    this.stopIds = stopIds;
    const { bad_words_ids: bad, sequence_bias: biased } = this.answers;
    this.biased = biased ?? [];
    this.bad = (bad ?? []).filter((ids) => ids.length !== 1 || !stopIds.includes(ids[0])).map((ids) => [ids, -Infinity]);
    this.begin = promptLength + (promptLength > 1 || isNone(this.answers.forced_bos_token_id) ? 0 : 1);
  }

  adjusted(logits, ids) {
    const stated = this.answers;
    const scores = Float32Array.from(logits);
    bias(scores, ids, this.biased);
    this.#repetition(scores, ids, Math.fround(stated.repetition_penalty ?? 1));
    this.#sequencesTwice(scores, ids, stated.no_repeat_ngram_size ?? 0);
    bias(scores, ids, this.bad);
    if (ids.length < (stated.min_length ?? 0) || ids.length - this.promptLength < (stated.min_new_tokens ?? 0)) forbid(scores, this.stopIds);
    if (!isNone(stated.forced_bos_token_id) && ids.length === 1) force(scores, [stated.forced_bos_token_id]);
    if (!isNone(stated.forced_eos_token_id) && ids.length === this.most - 1) force(scores, stated.forced_eos_token_id);
    this.#decay(scores, ids.length, stated.exponential_decay_length_penalty);
    forbid(scores, stated.suppress_tokens ?? []);
    if (ids.length === this.begin) forbid(scores, stated.begin_suppress_tokens ?? []);
    return scores;
  }

  #repetition(scores, ids, penalty) {
    if (penalty === 1) return;
    for (const id of new Set(ids)) if (id < scores.length) scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty;
  }

  #sequencesTwice(scores, ids, length) {
    if (length === 0 || length > ids.length) return;
    const last = ids.slice(ids.length + 1 - length);
    for (let at = 0; at + length <= ids.length; at += 1) {
      if (last.every((id, offset) => ids[at + offset] === id)) forbid(scores, [ids[at + length - 1]]);
    }
  }

  #decay(scores, count, stated) {
    if (isNone(stated) || count <= stated[0] + this.promptLength) return;
    const factor = Math.fround(stated[1] ** (count - stated[0] - this.promptLength) - 1);
    for (const id of this.stopIds) scores[id] += Math.fround(Math.abs(scores[id]) * factor);
  }
}

const isNone = (value) => value === null || value === undefined;

function forbid(scores, ids) {
  for (const id of ids) if (id < scores.length) scores[id] = -Infinity;
}

function force(scores, ids) {
  scores.fill(-Infinity);
  for (const id of ids) scores[id] = 0;
}

/** Adds to the last token of every sequence whose other tokens are the last of `ids`; of single tokens the last bias counts. */
function bias(scores, ids, sequences) {
  const added = new Map();
  for (const [sequence, value] of [...sequences].sort(([a], [b]) => Number(a.length > 1) - Number(b.length > 1))) {
    const before = sequence.slice(0, -1);
    const last = sequence.at(-1);
    if (before.length === 0) added.set(last, Math.fround(value));
    else if (before.every((id, at) => ids[ids.length - before.length + at] === id)) added.set(last, Math.fround((added.get(last) ?? 0) + value));
  }
  for (const [id, value] of added) scores[id] += value;
}

/** Whether a text ended: one of `strings` ends within its last token. decode: ids to text, special tokens shown. */
export class StopStrings {
  constructor(strings, decode) {
    this.strings = strings ?? [];
    this.decode = decode;
    this.tail = 4 * Math.max(0, ...this.strings.map((string) => string.length)) + 4; // tokens that hold the longest of them
  }

  ended(ids) {
    if (this.strings.length === 0) return false;
    const tail = ids.slice(-this.tail);
    const text = this.decode(tail);
    const before = this.decode(tail.slice(0, -1)).replace(/\uFFFD+$/u, "").length;
    return this.strings.some((string) => text.indexOf(string, Math.max(0, before - string.length + 1)) >= 0);
  }
}
