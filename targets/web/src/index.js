// load(): the model answers from a worker of its own. See index.d.ts for what comes back.

import { BadInput, ModuleError } from "./errors.js";
import { Coder, VectorIndex } from "./search.js";
import { similarity } from "./similarity.js";

export { ModuleError };

/** base: where this module's folder lies; threads: of the runtime; onProgress({loaded, total}) in bytes. */
export async function load({ base = new URL("./", import.meta.url), threads, onProgress = () => {} } = {}) {
  const model = new Model(new URL(base, globalThis.location?.href), onProgress);
  try {
    Object.assign(model, await model.send("load", { base: model.base.href, threads }));
  } catch (error) {
    model.close();
    throw error;
  }
  return model;
}

class Model {
  #worker;
  #waiting = new Map();
  #count = 0;

  constructor(base, onProgress) {
    this.base = base;
    if (!globalThis.isSecureContext) {
      throw new ModuleError({ name: "ModuleError", problem: "the page is not secure, and hashes cannot be checked", fix: "serve it by https, or from localhost" });
    }
    this.#worker = new Worker(new URL("worker.js", base), { type: "module" });
    this.#worker.onmessage = ({ data: { id, result, error, progress } }) => {
      if (progress?.piece !== undefined) return this.#piece(id, progress.piece);
      if (progress) return onProgress(progress);
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      return error ? reject(new ModuleError(error)) : resolve(result);
    };
    this.#worker.onerror = (event) => this.#end({ name: "ModuleError", problem: event.message ?? "the worker did not start", fix: "check that worker.js is served as JavaScript" });
  }

  /** Answers by the model's task; calls may overlap, and are answered in their order. */
  ask(...texts) {
    if (this.task !== "text-generation") return this.send("ask", texts);
    const [prompt, { onText = () => true, ...settings } = {}] = texts;
    return this.send("ask", [prompt, settings], onText);
  }

  /** Pieces of a text that is written; who leaves the loop ends the writing. */
  async *stream(prompt, settings = {}) {
    const pieces = [];
    let wake = () => {};
    let left = false;
    const onText = (piece) => { pieces.push(piece); wake(); return !left; };
    const ended = this.ask(prompt, { ...settings, onText }).then((result) => ({ result }), (error) => ({ error }));
    let end = null;
    ended.then((how) => { end = how; wake(); });
    try {
      for (;;) {
        while (pieces.length > 0) yield pieces.shift();
        if (end) break;
        await new Promise((resolve) => { wake = resolve; if (pieces.length > 0 || end) resolve(); });
      }
      if (end.error) throw end.error;
      return end.result;
    } finally {
      left = true;
    }
  }

  #piece(id, piece) {
    if (this.#waiting.get(id)?.onText(piece) === false) this.#worker?.postMessage({ kind: "stop", input: id });
  }

  /** How alike two of the model's vectors are, as its folder states: more is more alike. */
  similarity(first, second) {
    if (this.task !== "feature-extraction") throw new BadInput(`a model for ${this.task} gives no vectors`, "ask it instead");
    return similarity(this.comparedBy, first, second);
  }

  /** An empty index of vectors, or the one of bytes that its toBytes() gave. */
  index(saved) {
    if (!this.codesOf) throw new BadInput("the model's vectors have no codes", "build it with --vectors binary, or int8");
    const index = new VectorIndex(new Coder(this.codesOf));
    return saved === undefined ? index : index.restore(saved);
  }

  /** A clear yes or no: whether this browser answers as the runtime did when the model was measured. */
  selfTest() {
    return this.send("selfTest");
  }

  /** Ends the worker and frees its memory. Calls that wait, and calls that come later, are refused. */
  close() {
    this.#end({ name: "Closed", problem: "the model is closed", fix: "load() it again" });
  }

  send(kind, input, onText = () => true) {
    if (!this.#worker) return Promise.reject(new ModuleError({ name: "Closed", problem: "the model is closed", fix: "load() it again" }));
    const id = (this.#count += 1);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, onText });
      this.#worker.postMessage({ id, kind, input });
    });
  }

  #end(error) {
    this.#worker?.terminate();
    this.#worker = null;
    for (const { reject } of this.#waiting.values()) reject(new ModuleError(error));
    this.#waiting.clear();
  }
}
