// What module.json must state, looked at once, before anything of it is used: a field that is missing or wrong is named.
// The same as targets/module/manifest.py, which says how to read the lines.

import { Changed } from "./errors.js";

export const FIELDS = `
task text
format onnx|tflite
model file
inputs list+
inputs.* input_ids|attention_mask|token_type_ids
outputs list+
outputs.* text
per_token yes
exact? yes
pad_id integer
vocab? whole
max_length whole
golden_tolerance number
labels object
labels.* text
files list
files.* object
files.*.name file
files.*.bytes size
files.*.sha256 hash
stop_ids? list
stop_ids.* integer
start_id whole?
empty_output list?
empty_output.* number
positions whole?
positions whole task=text-generation
buckets? list
buckets list+ format=tflite
buckets.* whole
session object?
session object format=onnx
session.graph_optimization_level disable_all|basic|extended|all
session.disabled_optimizers? list
session.disabled_optimizers.* text
session.config? object
session.config.* text
cache? list
cache list+ task=text-generation
cache.* object
cache.*.layer whole
cache.*.heads whole
cache.*.head_size whole
coded object?
coded.file file
coded.coded file
coded.bytes size
coded.sha256 hash
coded.start stream|expand
answers object?
answers.function softmax|sigmoid|none task=text-classification
answers.multi_label? yes
answers.reads_empty_pair? yes
answers.thresholds list?
answers.thresholds.* number
answers.strategy none|simple|first|average|max task=token-classification
answers.scheme iob1|iob2|bioes|bilou|bare task=token-classification
answers.words tokenizer|white-space|characters task=token-classification
answers.subword_prefix yes task=token-classification
answers.unk_id whole?
answers.ignore list task=token-classification
answers.ignore.* text
answers.stride? whole
answers.longest? whole
answers.no_answer? yes
answers.threshold number?
answers.similarity? cosine|dot|euclidean|manhattan
answers.prompts? object
answers.prompts.* text
answers.default_prompt text?
answers.prompt_tokens? object
answers.prompt_tokens.* object
answers.prompt_tokens.*.begin list+
answers.prompt_tokens.*.begin.* whole
answers.prompt_tokens.*.count whole
answers.sparse? yes
answers.codes object?
answers.codes.kind int8|binary
answers.codes.id text
answers.codes.low list+
answers.codes.low.* number
answers.codes.high list+
answers.codes.high.* number
answers.codes.thresholds list?
answers.codes.thresholds.* number
answers.do_sample? yes
answers.temperature? number
answers.top_k? whole
answers.top_p? number
answers.min_p number?
answers.typical_p? number
answers.epsilon_cutoff? number
answers.eta_cutoff? number
answers.repetition_penalty? number
answers.no_repeat_ngram_size? whole
answers.bad_words_ids list?
answers.bad_words_ids.* list+
answers.bad_words_ids.*.* whole
answers.sequence_bias list?
answers.sequence_bias.* pair
answers.sequence_bias.*.0 list+
answers.sequence_bias.*.0.* whole
answers.sequence_bias.*.1 number
answers.suppress_tokens list?
answers.suppress_tokens.* whole
answers.begin_suppress_tokens list?
answers.begin_suppress_tokens.* whole
answers.forced_bos_token_id whole?
answers.forced_eos_token_id list?
answers.forced_eos_token_id.* whole
answers.min_length? whole
answers.min_new_tokens whole?
answers.max_new_tokens whole?
answers.max_length whole?
answers.exponential_decay_length_penalty pair?
answers.exponential_decay_length_penalty.0 whole
answers.exponential_decay_length_penalty.1 number
answers.stop_strings list?
answers.stop_strings.* text
answers.chat_template text?
answers.chat_tokens? object
answers.chat_form object?
answers.chat_form.first object
answers.chat_form.first.* text
answers.chat_form.between object
answers.chat_form.between.* text
answers.chat_form.last object
answers.chat_form.last.* text
answers.chat_form.trimmed list
answers.chat_form.trimmed.* text
answers.chat_form.looked_for? list
answers.chat_form.looked_for.* text
answers.window? refuse|slide
schema 1
name text
version text
pack_id text
expires text?
stop_ids list
buckets list
`;
const LARGEST = 2 ** 31 - 1;
const MISSING = Symbol("missing");
const SHOWN = {
  1: "1, which is all that this code reads",
  text: "a text",
  file: "a plain file name",
  hash: "a sha256",
  yes: "true or false",
  integer: "a whole number",
  whole: `a whole number from 0 to ${LARGEST}`,
  size: "a number of bytes",
  number: "a number",
  list: "a list",
  "list+": "a list with something in it",
  pair: "a list of two",
  object: "an object",
};
const matches = (pattern) => (value) => typeof value === "string" && pattern.test(value);
const isWhole = (value, least, most) => Number.isInteger(value) && value >= least && value <= most;
const KINDS = {
  1: (value) => value === 1,
  text: (value) => typeof value === "string" && !/\p{Surrogate}/u.test(value),
  file: matches(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$/),
  hash: matches(/^[0-9a-f]{64}$/),
  yes: (value) => typeof value === "boolean",
  integer: (value) => isWhole(value, -LARGEST, LARGEST),
  whole: (value) => isWhole(value, 0, LARGEST),
  size: (value) => isWhole(value, 0, Number.MAX_SAFE_INTEGER),
  number: (value) => typeof value === "number" && Math.abs(value) < 1e300,
  list: (value) => Array.isArray(value),
  "list+": (value) => Array.isArray(value) && value.length > 0,
  pair: (value) => Array.isArray(value) && value.length === 2,
  object: isObject,
};

const WHOLE = new Set(["1", "integer", "whole", "size"]);
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][-+.eE0-9]*|true|false|null|[{}[\],]/g;
const DEEPEST = 200;

/** module.json of its bytes. Changed: it is no JSON, a key stands there twice, a field is missing or wrong, or a file would be opened that is not listed. */
export function readManifest(bytes) {
  let text;
  let manifest;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes); // a byte order mark stays, and is no JSON
    manifest = JSON.parse(text);
  } catch {
    throw new Changed("module.json cannot be read: it is no JSON");
  }
  checkManifest(manifest, fractionsOf(text, manifest));
  return manifest;
}

/**
 * Numbers that are spelled with a fraction or an exponent, as keys by their object or list: 64.0 is no whole number in Python and Java.
 * Changed: a key twice, half a character, a number too large, nested too deep. JSON.parse takes them all.
 */
function fractionsOf(text, manifest) {
  const cannot = (problem) => new Changed(`module.json cannot be read: ${problem}`);
  const [fractions, open] = [new Map(), []];
  for (const [token] of text.matchAll(TOKENS)) {
    const within = open.at(-1);
    if (token === ",") {
      within.key = within.keys ? null : within.key + 1;
    } else if (token === "}" || token === "]") {
      open.pop();
    } else if (open.length > DEEPEST) {
      throw cannot("nested too deep");
    } else if (token === "{" || token === "[") {
      const value = within ? within.value[within.key] : manifest;
      open.push(token === "{" ? { value, keys: new Set(), key: null } : { value, keys: null, key: 0 });
    } else if (token.startsWith('"')) {
      const string = JSON.parse(token);
      if (!KINDS.text(string)) throw cannot("a text holds half a character");
      if (within?.key === null) {
        if (within.keys.has(string)) throw cannot("a key stands there twice");
        within.keys.add(string);
        within.key = string;
      }
    } else if (!/[a-df-z]/.test(token)) {
      if (!Number.isFinite(Number(token))) throw cannot("a number is too large");
      if (within && /[.eE]/.test(token)) fractions.set(within.value, (fractions.get(within.value) ?? new Set()).add(String(within.key)));
    }
  }
  return fractions;
}

function checkManifest(manifest, fractions) {
  if (!isObject(manifest)) throw new Changed("module.json holds no object");
  for (const line of FIELDS.trim().split("\n")) checkLine(manifest, fractions, ...line.split(" "));
  checkNumbering(manifest);
  checkCodes(manifest.answers ?? {});
  checkOpened(manifest);
}

/** Changed where the model gives a score for more or fewer labels than the manifest names. */
export function checkLabels(labels, count) {
  if (labels.length !== count) throw new Changed(`module.json names ${labels.length} labels, and the model gives ${count} scores`);
}

/** Changed where what will be opened is not among the listed files, so that no hash would be compared. */
function checkOpened({ model, files, coded }) {
  const needed = ["tokenizer.json", ...(coded ? [coded.coded] : []), ...(coded?.file === model ? [] : [model])];
  for (const name of needed) {
    if (!files.some((entry) => entry.name === name)) throw new Changed(`module.json lists no ${name}`);
  }
}

function checkLine(manifest, fractions, path, kind, condition = "") {
  const [field, wanted] = condition.split("=");
  if (condition && manifest[field] !== wanted) return;
  const [mayBeMissing, mayBeNull] = [path.endsWith("?"), kind.endsWith("?")];
  const plain = mayBeNull ? kind.slice(0, -1) : kind;
  const isRight = KINDS[plain] ?? ((value) => typeof value === "string" && plain.split("|").includes(value));
  for (const [place, value, holder, key] of values(manifest, "module.json", (mayBeMissing ? path.slice(0, -1) : path).split("."))) {
    if (value === MISSING) {
      if (!mayBeMissing && !mayBeNull) throw new Changed(`${place} is missing`);
    } else if ((!(value === null && mayBeNull) && !isRight(value)) || (WHOLE.has(plain) && fractions.get(holder)?.has(key))) {
      throw new Changed(`${place} is not ${SHOWN[plain] ?? `one of these: ${plain.replaceAll("|", ", ")}`}`);
    }
  }
}

/** Places and values that the path leads to, each with what holds it and its key there; MISSING where the last part leads to nothing. */
function* values(value, place, [part, ...rest], holder, last) {
  if (part === undefined) {
    yield [place, value, holder, last];
  } else if (value !== null && value !== MISSING) {
    if (part === "*") {
      for (const [key, each] of Object.entries(value)) {
        yield* values(each, `${place}[${JSON.stringify(key).slice(0, 60)}]`, rest, value, key);
      }
    } else {
      const there = Array.isArray(value) ? `${place}[${part}]` : `${place}.${part}`;
      yield* values(Object.hasOwn(value, part) ? value[part] : MISSING, there, rest, value, part);
    }
  }
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function checkNumbering({ labels, answers }) {
  const count = Object.keys(labels).length;
  for (let index = 0; index < count; index += 1) {
    if (!Object.hasOwn(labels, index)) throw new Changed(`module.json.labels has ${count} labels, and none with the number ${index}`);
  }
  if (answers?.multi_label && answers.thresholds?.length !== count) {
    throw new Changed("module.json.answers.thresholds is not one number for each label");
  }
}

function checkCodes({ codes, similarity }) {
  if (!codes) return;
  const rows = [codes.low, codes.high, ...(codes.thresholds ? [codes.thresholds] : [])];
  if (new Set(rows.map((row) => row.length)).size > 1 || (codes.kind === "binary" && rows.length < 3) || similarity === undefined) {
    throw new Changed("module.json.answers.codes does not state each dimension, or no similarity stands beside it");
  }
}
