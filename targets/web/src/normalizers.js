// BERT's normalizer and SentencePiece's, as Hugging Face's own library computes them: @huggingface/tokenizers 0.2.0 does both otherwise
// for final sigmas, rare Chinese characters and accents that stand behind their letter (tests/parity_texts.py finds them).

const ASCII_SPACE = " ";
const CHINESE = [
  [0x4e00, 0x9fff], [0x3400, 0x4dbf], [0x20000, 0x2a6df], [0x2a700, 0x2b73f],
  [0x2b740, 0x2b81f], [0x2b920, 0x2ceaf], [0xf900, 0xfaff], [0x2f800, 0x2fa1f],
];
const OTHER = /^[\p{Cc}\p{Cf}\p{Co}]$/u;
const SPACE = /^\p{White_Space}$/u;
const NONSPACING = /\p{Mn}/gu;
const PRINTABLE_ASCII = /^[ -~]*$/;
const MOST_KNOWN = 20_000;
const LONGEST_WHOLE = 6; // bytes of a grapheme that is looked up whole

/** The function that stands in place of a tokenizer's normalizer: ours where there is one, `theirs` (by index in a Sequence) elsewhere. */
export function normalizerOf(config, theirs) {
  if (!config) return theirs;
  if (config.type === "Sequence") {
    const parts = config.normalizers.map((part, index) => normalizerOf(part, theirs.normalizers[index]));
    return (text) => parts.reduce((rest, part) => part(rest), text);
  }
  if (config.type === "BertNormalizer") return bert(config);
  if (config.type === "Precompiled") return precompiled(config.precompiled_charsmap);
  return (text) => theirs(text);
}

/** Makes the patterns of a pre-tokenizer mean by white space what they mean in Rust: JavaScript's \s has U+FEFF and lacks U+0085. */
export function asRustSplits(preTokenizer) {
  for (const part of preTokenizer?.tokenizers ?? [preTokenizer]) {
    if (!(part?.pattern instanceof RegExp)) continue;
    const source = part.pattern.source.replaceAll("\\s", "\\p{White_Space}").replaceAll("\\S", "\\P{White_Space}");
    part.pattern = new RegExp(source, part.pattern.flags);
  }
}

function bert({ clean_text, handle_chinese_chars, strip_accents, lowercase }) {
  const strips = strip_accents ?? lowercase;
  return (text) => {
    let result = text;
    if (clean_text) result = mapped(result, cleaned);
    if (handle_chinese_chars) result = mapped(result, (character) => (isChinese(character.codePointAt(0)) ? ` ${character} ` : character));
    if (strips) result = result.normalize("NFD").replace(NONSPACING, "");
    if (lowercase) result = mapped(result, (character) => character.toLowerCase()); // one by one: a final sigma is no other letter here
    return result;
  };
}

function mapped(text, change) {
  let result = "";
  for (const character of text) result += change(character);
  return result;
}

function cleaned(character) {
  if (character === "\t" || character === "\n" || character === "\r") return ASCII_SPACE;
  if (character === "\0" || character === "\ufffd" || OTHER.test(character)) return "";
  return SPACE.test(character) ? ASCII_SPACE : character;
}

function isChinese(code) {
  return CHINESE.some(([first, last]) => code >= first && code <= last);
}

/** SentencePiece's character map: a double-array trie over UTF-8 and the texts that it points to (google/sentencepiece, normalizer.cc). */
function precompiled(charsmap) {
  const bytes = Uint8Array.from(atob(charsmap), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const trieBytes = view.getUint32(0, true);
  const trie = new Uint32Array(bytes.buffer.slice(4, 4 + trieBytes));
  const texts = bytes.subarray(4 + trieBytes);
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });

  const replacement = (key) => {
    const start = shortestPrefix(trie, key);
    return start < 0 ? null : decoder.decode(texts.subarray(start, texts.indexOf(0, start)));
  };
  const known = new Map(); // a text has few different graphemes
  const grapheme = (segment) => {
    let result = known.get(segment);
    if (result === undefined) {
      const key = encoder.encode(segment);
      const whole = key.length < LONGEST_WHOLE ? replacement(key) : null;
      result = whole ?? mapped(segment, (character) => replacement(encoder.encode(character)) ?? character);
      if (known.size < MOST_KNOWN) known.set(segment, result);
    }
    return result;
  };
  return (text) => {
    if (PRINTABLE_ASCII.test(text)) return mapped(text, grapheme); // its graphemes are its characters
    let result = "";
    for (const { segment } of segmenter.segment(text)) result += grapheme(segment);
    return result;
  };
}

/** The value of the shortest key that begins `key`, -1 where none does. Units are those of darts-clone. */
function shortestPrefix(trie, key) {
  let node = 0;
  let unit = trie[0];
  node ^= offset(unit);
  for (const byte of key) {
    if (byte === 0) return -1;
    node ^= byte;
    unit = trie[node];
    if ((unit & 0x800000ff) >>> 0 !== byte) return -1;
    node ^= offset(unit);
    if ((unit >>> 8) & 1) return trie[node] & 0x7fffffff;
  }
  return -1;
}

function offset(unit) {
  return (unit >>> 10) << ((unit & (1 << 9)) >>> 6);
}
