// Where in a text each token stands: the tokenizer's library does not say, so its tokens are place again in the text, character after the other.
// Done for tokenizers whose tokens spell the normalized text: WordPiece, and bytes (GPT-2's and RoBERTa's). An app is told of all others
// when it is shipped. A token that is not where it must be is an error, never a guess.

const PUNCTUATION = /^[!-/:-@[-`{-~]$|^\p{P}$/u;
const SPACE = /^\p{White_Space}$/u;

export class Placing {
  /** normalizer: a function of a text, or null. */
  constructor({ model, added_tokens: added, post_processor: processor, pre_tokenizer: splitter }, normalizer) {
    this.normalize = normalizer ?? ((text) => text);
    this.prefix = model.continuing_subword_prefix ?? "";
    this.unknown = model.unk_token ?? null;
    this.added = new Map(added.map((token) => [token.content, token]));
    const bytes = partsOf(splitter, "pretokenizers").find(({ type }) => type === "ByteLevel");
    this.bytes = bytes ? byteCharacters() : null;
    this.addsBlank = Boolean(bytes?.add_prefix_space);
    this.trims = partsOf(processor, "processors").some((part) => part.trim_offsets);
    this.keepsBlank = partsOf(processor, "processors").some((part) => part.add_prefix_space);
  }

  /** [start, end] of each token in characters (code points) of the text. */
  places(text, tokens, firstKept = 0) { // the first token that is not cut off: its blank stays where the first token's does
    return this.bytes ? this.#ofBytes(text, tokens, firstKept) : this.#ofWords(text, tokens);
  }

  #ofWords(text, tokens) {
    const { spelt, places } = this.#spelt(text);
    let at = 0;
    let past = 0; // the end of the token before: blanks that stand in the normalized text alone are no part of this one
    return tokens.map((token, index) => {
      const continues = this.prefix !== "" && token.startsWith(this.prefix) && !this.added.has(token);
      const before = at;
      while (!continues && at < spelt.length && SPACE.test(spelt[at])) at += 1;
      let length = this.#length(spelt, at, continues ? token.slice(this.prefix.length) : token);
      if (length < 0 && token === this.unknown) length = wordLength(spelt, at);
      if (length <= 0) throw new Error(`token ${index} (${JSON.stringify(token)}) is not where it must be in ${JSON.stringify(text).slice(0, 60)}`);
      const { lstrip, rstrip } = this.added.get(token) ?? {};
      const start = lstrip ? Math.max(past, places[before][0]) : places[at][0];
      at += length;
      while (rstrip && at < spelt.length && SPACE.test(spelt[at])) at += 1;
      past = places[at - 1][1];
      return [start, past];
    });
  }

  /** How many characters from `at` on spell the token, -1 where they do not; an added token stands there as it is normalized. */
  #length(spelt, at, token) {
    for (const form of this.added.has(token) ? [this.normalize(token).trim(), token] : [token]) {
      const wanted = [...form];
      if (wanted.length > 0 && wanted.every((character, index) => spelt[at + index] === character)) return wanted.length;
    }
    return -1;
  }

  /** The normalized text, character by character, with the place that each came from. */
  #spelt(text) {
    const spelt = [];
    const places = [];
    [...text].forEach((character, index) => {
      for (const other of this.normalize(character)) {
        spelt.push(other);
        places.push([index, index + 1]);
      }
    });
    return { spelt, places };
  }

  #ofBytes(text, tokens, firstKept) {
    const encoder = new TextEncoder();
    const spelt = [];
    const places = [];
    const blanks = new Set();
    [...text].forEach((character, index) => {
      if (SPACE.test(character)) blanks.add(index);
      for (const byte of encoder.encode(character)) {
        spelt.push(this.bytes.get(byte));
        places.push([index, index + 1]);
      }
    });
    const isBlank = (at) => at < places.length && blanks.has(places[at][0]);
    const blank = this.bytes.get(0x20);
    let at = 0;
    let begins = true; // the text, or a part of it behind an added token: a blank may be put before it
    return tokens.map((token, index) => {
      const added = this.added.get(token);
      const first = at;
      while (added?.lstrip && isBlank(at)) at += 1;
      let wanted = added ? [...encoder.encode(token)].map((byte) => this.bytes.get(byte)) : [...token];
      const spelling = wanted;
      if (!added && begins && this.addsBlank && spelt[at] !== blank && wanted[0] === blank) wanted = wanted.slice(1);
      if (!wanted.every((character, offset) => spelt[at + offset] === character)) {
        throw new Error(`token ${index} (${JSON.stringify(token)}) is not where it must be in ${JSON.stringify(text).slice(0, 60)}`);
      }
      at += wanted.length;
      while (added?.rstrip && isBlank(at)) at += 1;
      begins = Boolean(added);
      const start = places[Math.min(first, places.length - 1)][0];
      const place = [start, places[Math.min(Math.max(first, at - 1), places.length - 1)][1]];
      return this.trims ? this.#trimmed(place, added ? [...text].slice(...place) : spelling, index - firstKept) : place;
    });
  }

  /** Without the blanks at the ends of a token, as the post-processor takes them out. */
  #trimmed([start, end], token, index) {
    const blank = (character) => character === this.bytes.get(0x20) || SPACE.test(character);
    let leading = token.findIndex((character) => !blank(character));
    if (leading < 0) leading = token.length;
    let trailing = [...token].reverse().findIndex((character) => !blank(character));
    if (trailing < 0) trailing = token.length;
    if (leading === 1 && this.keepsBlank && (index === 0 || start === 0)) leading = 0;
    const first = Math.min(start + leading, end);
    return [first, trailing > 0 && end >= trailing ? Math.max(end - trailing, first) : end];
  }
}

/** A word that the vocabulary does not know: up to the next blank or punctuation, which is a word by itself. */
function wordLength(spelt, at) {
  if (at >= spelt.length) return -1;
  if (PUNCTUATION.test(spelt[at])) return 1;
  let end = at;
  while (end < spelt.length && !SPACE.test(spelt[end]) && !PUNCTUATION.test(spelt[end])) end += 1;
  return end - at;
}

function partsOf(config, name) {
  if (!config) return [];
  return config.type === "Sequence" ? config[name].flatMap((part) => partsOf(part, name)) : [config];
}

/** GPT-2's characters for bytes: a byte that prints stands for itself. */
function byteCharacters() {
  const result = new Map();
  let other = 256;
  for (let byte = 0; byte < 256; byte += 1) {
    const prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    result.set(byte, String.fromCodePoint(prints ? byte : other));
    if (!prints) other += 1;
  }
  return result;
}
