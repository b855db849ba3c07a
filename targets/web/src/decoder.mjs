// A decoder's session that remembers: keys and values go back in as they came out, which is how JavaScript's runtimes take them.

import { oneText } from "./session.mjs";

const DECODER_INPUTS = ["input_ids", "attention_mask"];

/** What a decoder takes for its past where there is none, in the order of its outputs. */
export function emptyCache(ort, manifest, rows) {
  const cache = {};
  for (const { layer, heads, head_size: size } of manifest.cache ?? []) {
    for (const part of ["key", "value"]) {
      cache[`past_key_values.${layer}.${part}`] = new ort.Tensor("float32", new Float32Array(0), [rows, heads, 0, size]);
    }
  }
  return cache;
}

export class Decoder {
  #ort;
  #manifest;
  #run;
  #cache;

  /** run: what opens the pack's file gave: feeds by name become arrays, {data, dims}, logits first. */
  constructor(ort, manifest, run) {
    this.#ort = ort;
    this.#manifest = manifest;
    this.#run = run;
    this.forget();
  }

  /** Logits of what follows `ids`, which follow all earlier tokens. */
  async step(ids) {
    const length = this.length + ids.length;
    const [logits, ...cache] = await this.#run({ ...oneText(this.#ort, DECODER_INPUTS, ids, { shown: length }), ...this.#cache });
    this.#cache = Object.fromEntries(Object.keys(this.#cache).map((name, index) => [name, cache[index]]));
    this.length = length;
    return logits;
  }

  forget() {
    this.#cache = emptyCache(this.#ort, this.#manifest, 1);
    this.length = 0;
  }

  keep() {
    return { cache: this.#cache, length: this.length };
  }

  restore({ cache, length }) {
    this.#cache = cache;
    this.length = length;
  }
}
