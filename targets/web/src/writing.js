// Text from a decoder, token by token, as the model's folder says. Keys and values stay in the decoder.

import { Penalties, StopStrings } from "./penalties.js";
import { chosenToken, drawing } from "./sampling.js";
import { BadInput, checkText } from "./texts.js";

const MOST_TOKENS = 128; // of a text whose length neither the call nor the model's folder says
const NOT_WHOLE = /\uFFFD+$/u; // what stands for bytes that are no character, or none yet

/**
 * Continues a text, or answers messages [{role, content}]. onText(piece): text that later tokens do not change; false ends the writing.
 * isStopped(): whether nobody waits any more, asked behind every pause(). Gives {text, tokens, promptTokens, endedBy}.
 */
export async function write(model, prompt, settings = {}) {
  const { onText = () => true, isStopped = () => false, pause = async () => {} } = settings;
  const given = promptOf(model, prompt);
  const lead = given.length > 0 ? [] : startOf(model.manifest); // it belongs to the text, unless it is a special token
  const ids = [...lead, ...given];
  const asked = settingsOf(model.manifest, ids.length, settings);
  const shown = new Shown(model.texts, ids, lead, onText);
  const { endedBy, stop = [] } = await written(model, shown, asked, async () => { await pause(); return isStopped(); });
  return { text: shown.rest(stop), tokens: shown.tokens, promptTokens: ids.length, endedBy };
}

/** The text of the new tokens alone, behind a lead, as transformers' pipeline gives it: a character of several tokens waits for its last. */
class Shown {
  constructor(texts, prompt, lead, onText) {
    Object.assign(this, { texts, prompt, lead, onText, tokens: [], text: "" });
  }

  get ids() {
    return [...this.prompt, ...this.tokens];
  }

  /** Whether to go on. */
  add(token) {
    this.tokens.push(token);
    const certain = this.texts.decode([...this.lead, ...this.tokens]).replace(NOT_WHOLE, "");
    if (certain.length <= this.text.length || !certain.startsWith(this.text)) return true;
    const piece = certain.slice(this.text.length);
    this.text = certain;
    return this.onText(piece) !== false;
  }

  /** All that was written, with bytes that never became a character. stop: the token that ended it, shown unless it is a special one. */
  rest(stop) {
    const whole = this.texts.decode([...this.lead, ...this.tokens, ...stop]);
    if (whole.length > this.text.length) this.onText(whole.slice(this.text.length));
    return whole.length > this.text.length ? whole : this.text;
  }
}

/** {endedBy}: stop, max_tokens, positions (no room is left) or listener (nobody wants more); stop: the token that ended it, in a list. */
async function written(model, shown, { maxTokens, seed, slides, ...sampling }, isLeft) {
  const { positions, stop_ids: stops, answers } = model.manifest;
  const length = shown.prompt.length;
  const room = Math.min(length + maxTokens - 1, positions);
  const penalties = new Penalties(answers, length, length + maxTokens, stops);
  const strings = new StopStrings(answers?.stop_strings, (ids) => model.texts.decode(ids, true));
  const decoder = model.decoder();
  const draw = drawing(seed);
  for (let next = slides ? fitting(shown.ids, room) : shown.ids; ;) {
    const { data, dims } = await decoder.step(next);
    const token = chosenToken(penalties.adjusted(data.subarray(data.length - dims.at(-1)), shown.ids), sampling, draw);
    if (stops.includes(token)) return { endedBy: "stop", stop: [token] };
    if (!shown.add(token) || (await isLeft())) return { endedBy: "listener" };
    if (strings.ended(shown.ids)) return { endedBy: "stop" };
    if (shown.tokens.length === maxTokens) return { endedBy: "max_tokens" };
    next = [token];
    if (decoder.length === room) {
      if (!slides) return { endedBy: "positions" };
      decoder.forget();
      next = fitting(shown.ids, room);
    }
  }
}

/** All of `ids` where there is room for one more; else the first, which models lean on, and the last half of the positions. */
function fitting(ids, positions) {
  return ids.length < positions ? ids : [ids[0], ...ids.slice(ids.length - Math.max(1, Math.floor(positions / 2)))];
}

/** Ids of a prompt or of a conversation; none where the tokenizer makes none of it. */
export function promptOf({ texts, manifest }, prompt) {
  if (Array.isArray(prompt)) return texts.bare(conversation(manifest.answers ?? {}, prompt));
  checkText(prompt, "the prompt");
  return texts.whole(prompt);
}

/** What stands in the place of a prompt without tokens, as for transformers' generate. Older modules state no such token. */
function startOf({ start_id: start = null }) {
  if (start === null) throw new BadInput("the prompt is empty: no tokens, and the model has none to begin with", "give the text to continue");
  return [start];
}

/** What this module cannot do at all for the model, whatever is asked. */
class Unable extends BadInput {
  name = "Unable";
}

/** The text of a conversation by the plain form of the model's chat template. */
function conversation({ chat_template: template, chat_form: form }, messages) {
  if (!template) throw new BadInput("the model has no chat template", "give a prompt in place of messages");
  if (!form) throw new Unable("the model's chat template depends on more than the roles, which this module does not render", "give the finished text as a prompt");
  const around = (texts, roles) => {
    if (!Object.hasOwn(texts, roles)) throw new BadInput(`the chat template refuses the conversation at: ${roles}`, "order the messages as the model knows them");
    return texts[roles];
  };
  let text = "";
  let before = null;
  for (const { role, content } of messages) {
    checkText(role, "a message's role");
    checkText(content, "a message's content");
    const part = form.looked_for?.find((each) => content.includes(each));
    if (part !== undefined) throw new Unable(`the model's chat template makes something else of a message with ${part}, which this module does not render`, "leave that part of the message out");
    text += before === null ? around(form.first, role) : around(form.between, `${before} ${role}`);
    text += form.trimmed.includes(role) ? content.replace(/^[\s\x85\x1c-\x1f]+|[\s\x85\x1c-\x1f]+$/gu, "") : content;
    before = role;
  }
  if (before === "assistant") throw new Unable("the conversation ends with the model's words, which this module does not go on with", "end it with another message");
  return text + around(form.last, String(before));
}

/** As asked, and for all that is left out as the model's folder says: greedy where it says nothing. */
function settingsOf({ answers, positions }, promptLength, asked) {
  const stated = answers ?? {};
  const length = stated.max_new_tokens || (stated.max_length ? Math.max(1, stated.max_length - promptLength) : MOST_TOKENS);
  const settings = {
    maxTokens: asked.maxTokens ?? length,
    temperature: asked.temperature ?? (stated.do_sample ? stated.temperature ?? 1 : 0),
    topK: asked.topK ?? stated.top_k ?? 0,
    topP: asked.topP ?? stated.top_p ?? 1,
    seed: asked.seed ?? 0,
    slides: (asked.window ?? "refuse") === "slide",
    minP: stated.min_p ?? 0,
    typicalP: stated.typical_p ?? 1,
    epsilon: stated.epsilon_cutoff ?? 0,
    eta: stated.eta_cutoff ?? 0,
  };
  const { maxTokens, temperature, topK, topP, seed, slides } = settings;
  const isRight = Number.isInteger(maxTokens) && maxTokens >= 1 && temperature >= 0 && temperature < Infinity
    && Number.isInteger(topK) && topK >= 0 && topP > 0 && topP <= 1 && Number.isInteger(seed) && seed >= 0
    && ["refuse", "slide"].includes(asked.window ?? "refuse");
  if (!isRight) {
    const wanted = "give maxTokens from 1, temperature, topK and seed from 0, topP above 0 and up to 1, window refuse or slide";
    throw new BadInput("settings out of range", wanted);
  }
  if (promptLength > positions && !slides) {
    throw new BadInput(`the prompt has ${promptLength} tokens, the model ${positions} positions`, "shorten the prompt, or ask with window slide");
  }
  return settings;
}
