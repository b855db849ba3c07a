// Texts become token ids as the teacher's tokenizer makes them, cut where it cuts them.
// @huggingface/tokenizers and not transformers.js: both are Hugging Face's own and kept, and the second contains the first; alone it is
// 37 kB minified, without a second copy of a runtime and without image code. It cuts nothing and gives no places, so cutting is here.

import { Tokenizer } from "@huggingface/tokenizers";
import { BadInput } from "./errors.js";
import { asRustSplits, normalizerOf } from "./normalizers.js";
import { Placing } from "./places.js";

export { BadInput };

export class Texts {
  /** tokenizerJson: as parsed; length: the most tokens with special ones; rows: tokens that the model knows. */
  constructor(tokenizerJson, length, rows = Infinity) {
    this.rows = rows;
    this.tokenizer = new Tokenizer(tokenizerJson, {});
    this.tokenizer.normalizer = normalizerOf(tokenizerJson.normalizer, this.tokenizer.normalizer);
    asRustSplits(this.tokenizer.pre_tokenizer);
    this.length = length;
    this.left = tokenizerJson.truncation?.direction === "Left";
    this.template = templateOf(tokenizerJson.post_processor);
    this.placing = new Placing(tokenizerJson, this.tokenizer.normalizer);
  }

  /**
   * One text or a pair: {ids, typeIds, cut}. readsEmptyPair: an empty second text is a text, as for a CrossEncoder; else it is none.
   * mayBeEmpty: whether a text without tokens is answered too.
   */
  text(text, pair = null, { readsEmptyPair = false, mayBeEmpty = false } = {}) {
    checkText(text, "text");
    if (pair !== null) checkText(pair, "the second text");
    const parts = [this.#bare(text), ...(pair || (readsEmptyPair && pair !== null) ? [this.#bare(pair)] : [])];
    return this.#whole(parts, mayBeEmpty);
  }

  /** A text with the place of every token: {ids, typeIds, cut, sequences, tokens, places}; places are in characters (code points). */
  placed(text) {
    checkText(text, "text");
    const { ids, tokens } = this.#encoded(text);
    const whole = this.#whole([ids]);
    const places = this.placing.places(text, tokens, this.left ? ids.length - whole.lengths[0] : 0);
    return { ...whole, ...this.#ofTokens(whole, { tokens, places }) };
  }

  /**
   * Words one by one: {ids, typeIds, cut, sequences, words}; words holds for each token the index of its word, null for special tokens.
   * withPlaces: also {tokens, places}, within the words.
   */
  words(words, withPlaces = false) {
    for (const word of words) checkText(word, "a word");
    const pieces = words.map((word) => this.#encoded(word));
    const whole = this.#whole([pieces.flatMap(({ ids }) => ids)]);
    const owners = pieces.flatMap(({ ids }, index) => ids.map(() => index));
    const of = { words: owners };
    if (withPlaces) {
      of.tokens = pieces.flatMap(({ tokens }) => tokens);
      of.places = pieces.flatMap(({ tokens }, index) => this.placing.places(words[index], tokens));
    }
    return { ...whole, ...this.#ofTokens(whole, of) };
  }

  /** Values of all tokens become those of the tokens that are kept, null for special ones. */
  #ofTokens({ sequences, lengths: [count] }, values) {
    const first = sequences.indexOf(0);
    const of = (all) => {
      const rest = this.left ? all.slice(all.length - count) : all.slice(0, count);
      return sequences.map((sequence, at) => (sequence === null ? null : rest[at - first]));
    };
    return Object.fromEntries(Object.entries(values).map(([name, all]) => [name, of(all)]));
  }

  /** A question with its context, in windows that share `stride` tokens: each {ids, typeIds, places}, places of the context's tokens alone. */
  windows(question, context, stride) {
    checkText(question, "the question");
    checkText(context, "the context");
    const asked = this.#bare(question);
    const { ids, tokens } = this.#encoded(context);
    const special = this.template.pair.filter((item) => item.ids).reduce((sum, item) => sum + item.ids.length, 0);
    const room = this.length - special - asked.length;
    if (ids.length > room && room <= stride) {
      throw new BadInput(`the question has ${asked.length} tokens: of the model's ${this.length} too few are left for the context`, "shorten the question");
    }
    const windows = [];
    for (let start = 0, end = -1; end < ids.length; start += room - stride) {
      end = Math.min(ids.length, start + Math.max(1, room));
      const places = this.placing.places(context, tokens, start).slice(start, end); // a window's first token keeps its blank
      windows.push(this.#window(asked, ids.slice(start, end), places));
      if (end === ids.length) break;
    }
    return windows;
  }

  #window(asked, context, places) {
    const runs = this.template.pair.map((item) => ({ ...item, run: item.ids ?? [asked, context][item.sequence] }));
    const placesOf = (item) => (!item.ids && item.sequence === 1 ? places : item.run.map(() => null));
    return {
      ids: runs.flatMap(({ run }) => run),
      typeIds: runs.flatMap((item) => item.run.map(() => item.typeId)),
      places: runs.flatMap(placesOf),
    };
  }

  /** Ids of a text with the special tokens around it, cut nowhere. */
  whole(text) {
    const bare = this.#bare(text);
    return this.template.single.flatMap((item) => item.ids ?? bare);
  }

  /** Ids of a text without any special token but those that stand in it. */
  bare(text) {
    return this.#bare(text);
  }

  /** The text of ids, without special tokens or with them. */
  decode(ids, withSpecial = false) {
    return ids.length === 0 ? "" : this.tokenizer.decode(ids, { skip_special_tokens: !withSpecial, clean_up_tokenization_spaces: false });
  }

  /** A token as the vocabulary writes it. */
  token(id) {
    return this.tokenizer.id_to_token(id) ?? "";
  }

  /** An error where the model has no row for a token: some runtimes read what lies behind the table then. */
  #encoded(text) {
    const encoded = text === "" ? { ids: [], tokens: [] } : this.tokenizer.encode(text, { add_special_tokens: false });
    const unknown = encoded.ids.find((id) => id >= this.rows);
    if (unknown !== undefined) throw new Error(`the tokenizer makes token ${unknown} of this text, and the model knows ${this.rows} tokens: build the pack again`);
    return encoded;
  }

  #bare(text) {
    return this.#encoded(text).ids;
  }

  #whole(parts, mayBeEmpty = false) {
    const items = this.template[parts.length === 1 ? "single" : "pair"];
    const room = this.length - items.filter((item) => item.ids).reduce((sum, item) => sum + item.ids.length, 0);
    const lengths = longestFirst(parts.map((ids) => ids.length), room);
    const cut = parts.map((ids, index) => (this.left ? ids.slice(ids.length - lengths[index]) : ids.slice(0, lengths[index])));
    const runs = items.map((item) => ({ ...item, run: item.ids ?? cut[item.sequence] }));
    const each = (value) => runs.flatMap((item) => item.run.map(() => value(item)));
    const encoding = {
      ids: runs.flatMap((item) => item.run),
      typeIds: each((item) => item.typeId),
      sequences: each((item) => (item.ids ? null : item.sequence)),
      lengths,
      cut: parts.some((ids, index) => ids.length > lengths[index]),
    };
    if (encoding.ids.length === 0 && !mayBeEmpty) throw new BadInput("nothing is left of the text: no tokens", "give a text with a character that the model knows");
    return encoding;
  }
}

/** How many tokens of each part stay: the longer gives first, as Hugging Face's LongestFirst does. */
export function longestFirst(lengths, room) {
  if (lengths.length === 1) return [Math.min(lengths[0], room)];
  const [first, second] = lengths;
  if (first + second <= room) return [first, second];
  const swapped = first > second;
  let shorter = Math.min(first, second);
  let longer = shorter > room ? shorter : Math.max(shorter, room - shorter);
  if (shorter + longer > room) {
    shorter = Math.floor(room / 2);
    longer = shorter + (room % 2);
  }
  return swapped ? [longer, shorter] : [shorter, longer];
}

/** {single, pair}: lists of {ids, typeId} for special tokens and {sequence, typeId} for texts. */
function templateOf(config) {
  if (config === null || config === undefined || config.type === "ByteLevel") return plain();
  if (config.type === "Sequence") {
    const around = config.processors.find(({ type }) => type !== "ByteLevel");
    return around ? templateOf(around) : plain();
  }
  if (config.type === "TemplateProcessing") {
    const items = (list) => list.map((item) => (item.SpecialToken
      ? { ids: config.special_tokens[item.SpecialToken.id].ids, typeId: item.SpecialToken.type_id }
      : { sequence: item.Sequence.id === "A" ? 0 : 1, typeId: item.Sequence.type_id }));
    return { single: items(config.single), pair: items(config.pair) };
  }
  const [open, close] = [[config.cls[1]], [config.sep[1]]];
  if (config.type === "BertProcessing") {
    const single = [{ ids: open, typeId: 0 }, { sequence: 0, typeId: 0 }, { ids: close, typeId: 0 }];
    return { single, pair: [...single, { sequence: 1, typeId: 1 }, { ids: close, typeId: 1 }] };
  }
  const single = [{ ids: open, typeId: 0 }, { sequence: 0, typeId: 0 }, { ids: close, typeId: 0 }]; // RobertaProcessing
  return { single, pair: [...single, { ids: close, typeId: 0 }, { sequence: 1, typeId: 0 }, { ids: close, typeId: 0 }] };
}

function plain() {
  return { single: [{ sequence: 0, typeId: 0 }], pair: [{ sequence: 0, typeId: 0 }, { sequence: 1, typeId: 1 }] };
}

export function checkText(value, what) {
  if (typeof value !== "string") throw new BadInput(`${what} must be a string, not ${value === null ? "null" : typeof value}`, "give a text");
  if (!value.isWellFormed()) throw new BadInput(`${what} holds half a character: a lone surrogate`, "decode the text anew");
}

const BLANKS = /([\p{White_Space}\x1c-\x1f]+)/u; // as Python splits
const BLANK = /^[\p{White_Space}\x1c-\x1f]+$/u;
const IN_A_WORD = /^[\p{L}\p{M}\p{N}]$/u;

/** [start, end] of every word in characters: runs without white space, less punctuation and symbols at their ends, each a word by itself. */
export function splitWords(text) {
  const result = [];
  let at = 0;
  const add = (length) => { result.push([at, at + length]); at += length; };
  for (const run of text.split(BLANKS)) {
    const characters = [...run];
    if (BLANK.test(run)) {
      at += characters.length;
      continue;
    }
    let first = 0;
    let last = characters.length;
    while (first < last && !IN_A_WORD.test(characters[first])) first += 1;
    while (last > first && !IN_A_WORD.test(characters[last - 1])) last -= 1;
    for (let index = 0; index < first; index += 1) add(1);
    if (first < last) add(last - first);
    for (let index = last; index < characters.length; index += 1) add(1);
  }
  return result;
}

/** [start, end] of every character that is no white space. */
export function splitCharacters(text) {
  return [...text].flatMap((character, index) => (BLANK.test(character) ? [] : [[index, index + 1]]));
}

export const WORDS = { "white-space": splitWords, characters: splitCharacters };
