// The page: loads the module beside it, asks, and shows what comes back. An app does the same with its own page.

import { load } from "./index.js";

const MOST_LABELS = 5;
const ABOUT = {
  "text-classification": ["Which kind of text is it?", "Your text"],
  "token-classification": ["Which names are in the text?", "Your text"],
  "question-answering": ["What does the text say?", "Your question"],
  "text-generation": ["How does the text go on?", "The beginning of a text"],
  "feature-extraction": ["How close are two texts in meaning?", "A text"],
};
const EXAMPLES = { // where the pack's own texts, in examples.json, are too few
  "text-classification": ["What a wonderful day!", "I waited an hour and nobody came.", "Please turn on the light in the kitchen."],
  "token-classification": ["Ada Lovelace was born in London.", "Rais Samia alikwenda Nairobi, Kenya."],
  "question-answering": [["Who wrote the first program?", "The first program was written by Ada Lovelace in 1843."], ["Where do penguins live?", "Most penguins live in the southern half of the Earth."]],
  "text-generation": ["Once upon a time", "The old house on the hill"],
  "feature-extraction": [["A cat sleeps on the sofa.", "The kitten is napping on the couch."], ["A cat sleeps on the sofa.", "The stock market fell today."]],
};
const SECOND = { "feature-extraction": "A second text to compare it with", "question-answering": "The text to look in" };
const at = (id) => document.getElementById(id);
const show = (id, shown = true) => { at(id).hidden = !shown; };
const mb = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

let model;
let total = 0;

try {
  const began = performance.now();
  model = await load({ onProgress: (progress) => {
    total = progress.total;
    at("bar").value = (100 * progress.loaded) / total;
    at("bytes").textContent = `${mb(progress.loaded)} of ${mb(total)}`;
  } });
  ready(performance.now() - began, await own());
} catch (error) {
  failed(error);
  show("loading", false);
}

async function own() {
  const response = await fetch("examples.json").catch(() => null);
  return response?.ok ? response.json().catch(() => []) : [];
}

function ready(loadMs, examples) {
  const [question, label] = ABOUT[model.task];
  document.title = at("title").textContent = question;
  at("text-label").textContent = label;
  if (model.labels.length > 1 && model.task === "text-classification") at("about").prepend(`It tells ${listed(model.labels)} apart. `);
  const second = SECOND[model.task] ?? (examples.some(([, pair]) => pair) ? "The second text" : ""); // a classifier may read pairs
  show("second", second !== "");
  at("pair-label").textContent = second;
  for (const example of examples.length ? examples : EXAMPLES[model.task]) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "quiet" });
    const [text, pair = ""] = [example].flat();
    button.textContent = text.length > 28 ? `${text.slice(0, 26).trimEnd()}…` : text;
    button.title = [text, pair].filter(Boolean).join(" / ");
    button.onclick = () => { at("text").value = text; at("pair").value = pair; ask(); };
    at("examples").append(button);
  }
  const threads = model.threads === 1 ? "one thread" : `${model.threads} threads`;
  at("facts").textContent = `Model “${model.name}”: ${mb(total)}, ready after ${(loadMs / 1000).toFixed(1)} s, on ${threads}.`;
  show("loading", false);
  show("form");
  show("footer");
  at("form").onsubmit = (event) => { event.preventDefault(); ask(); };
  at("text").onkeydown = (event) => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); ask(); } };
  at("test").onclick = test;
  document.body.dataset.ready = Math.round(loadMs);
}

function listed(names) {
  const shown = names.slice(0, MOST_LABELS).map((name) => `“${name}”`);
  const rest = names.length - shown.length;
  if (rest > 0) return `${shown.join(", ")} and ${rest} other kinds of text`;
  return `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

async function ask() {
  show("problem", false);
  const text = at("text").value;
  const began = performance.now();
  try {
    const answer = await (ASKED[model.task] ?? plainly)(text, at("pair").value);
    const spent = performance.now() - began;
    const note = `${answer.cut ? `Only the first ${model.maxLength} tokens were read. ` : ""}Answered in ${spent < 10 ? spent.toFixed(1) : spent.toFixed(0)} ms.`;
    at("answer").replaceChildren(...VIEWS[model.task](answer, text), element("p", "note", note));
    show("answer");
    at("answer").dataset.ms = spent;
  } catch (error) {
    failed(error);
  }
}

const plainly = (text, pair) => (at("second").hidden ? model.ask(text) : model.ask(text, pair));

async function similarity(text, pair) {
  const [a, b] = await Promise.all([model.ask(text), model.ask(pair)]);
  return { similarity: model.similarity(a, b), cut: a.cut || b.cut };
}

const ASKED = {
  "feature-extraction": similarity,
  "question-answering": (question, context) => model.ask(question, context),
  "text-generation": (text) => {
    const line = element("p", "marked", text);
    at("answer").replaceChildren(line);
    show("answer");
    return model.ask(text, { maxTokens: 100, onText: (piece) => { line.textContent += piece; } });
  },
};

const MEASURES = { dot: "dot product of their vectors", euclidean: "minus their distance", manhattan: "minus the sum of their differences" };

const VIEWS = {
  "question-answering": ({ text, score }) => [element("h2", "", text || "The text does not say"), bar({ name: "how sure the model is", score })],
  "text-generation": ({ text }, prompt) => [element("p", "marked", prompt + text)],
  "text-classification": ({ label, scores }) => [element("h2", "", label), ...scores.slice(0, MOST_LABELS).map(bar)],
  "token-classification": ({ entities }, text) => [element("h2", "", named(entities.length)), marked(text, entities)],
  "feature-extraction": ({ similarity: alike }) => (model.comparedBy === "cosine"
    ? [element("h2", "", closeness(alike)), bar({ name: "cosine of their vectors", score: Math.max(0, alike) })]
    : [element("h2", "", alike.toFixed(4)), element("p", "note", `${MEASURES[model.comparedBy]}: more is more alike`)]),
};

function named(count) {
  if (count === 0) return "No names found";
  return count === 1 ? "One name found" : `${count} names found`;
}

function closeness(cosine) {
  if (cosine > 0.7) return "They mean much the same";
  return cosine > 0.4 ? "They are about related things" : "They are about different things";
}

function bar({ name, score }) {
  const row = element("div", "score");
  row.style.setProperty("--share", `${(100 * score).toFixed(1)}%`);
  row.append(element("span", "", name), element("span", "", `${(100 * score).toFixed(1)} %`));
  return row;
}

function marked(text, entities) {
  const line = element("p", "marked");
  let from = 0;
  for (const { start, end, kind } of entities) {
    const mark = element("mark", "", text.slice(start, end));
    mark.append(element("small", "", kind));
    line.append(text.slice(from, start), mark);
    from = end;
  }
  line.append(text.slice(from));
  return line;
}

async function test() {
  at("proof").textContent = "Asking…";
  const result = await model.selfTest().catch((error) => ({ ok: false, problem: error.message }));
  at("proof").textContent = result.ok ? `Yes: ${result.texts} texts are answered here as they were when the model was measured.` : `No: ${result.problem}.`;
  at("proof").dataset.ok = result.ok;
}

function failed(error) {
  at("problem").textContent = error.problem ? `${error.problem}: ${error.fix}.` : String(error);
  show("problem");
}

function element(tag, className, text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}
