// Vectors in 8 bits or 1 bit a dimension: their codes, an index of them, and its nearest texts. The same as targets/module/search.py.

import { BadInput } from "./errors.js";

const RESCORED = 4; // candidates by Hamming distance for each text that is wanted
const MAGIC = "EPINDEX\n";
const [VERSION, HEAD, WEIGHT_SCALE] = [1, 40, 2 ** 30]; // sums of weights stay below 2^53, where a double is exact
const KINDS = { int8: 1, binary: 2 };
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1;
  return rest;
});

/** How a vector becomes a code, as the pack states it. answers: of the manifest. */
export class Coder {
  constructor({ codes: { kind, id, low, high, thresholds }, similarity }) {
    Object.assign(this, { kind, id, width: low.length, isUnit: similarity === "cosine", isBinary: kind === "binary" });
    [this.low, this.high, this.thresholds] = [low, high, thresholds ?? []].map((values) => Float32Array.from(values));
    this.steps = this.low.map((value, at) => Math.fround(Math.fround(this.high[at] - value) / 255) || 1);
    this.bytes = this.isBinary ? Math.ceil(this.width / 8) : this.width;
  }

  /** Int8Array [width], or Uint8Array [width / 8] with the first dimension in the highest bit. */
  code(vector) {
    const values = this.#compared(vector);
    if (!this.isBinary) {
      const level = (value, at) => Math.floor(Math.fround(Math.fround(value - this.low[at]) / this.steps[at]));
      return Int8Array.from(values, (value, at) => Math.max(0, Math.min(255, level(value, at))) - 128);
    }
    const code = new Uint8Array(this.bytes);
    values.forEach((value, at) => { if (value > this.thresholds[at]) code[at >> 3] |= 0x80 >> (at & 7); });
    return code;
  }

  /** The vector as it is compared: 1 long where that is by cosine. */
  #compared(vector) {
    const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
    return this.isUnit && length !== 0 ? Float32Array.from(vector, (value) => value / length) : vector;
  }

  /**
   * A function of (codes, from): about the cosine or dot product of the query with what the code at `from` stands for. Codes of a bit are
   * compared by cosine as vectors that are 1 long again.
   */
  scores(vector) {
    const query = this.#compared(vector);
    const by = (part) => Array.from(query, (value, at) => part(value, this.low[at], this.high[at], this.steps[at]));
    if (!this.isBinary) return this.#sum(by((value, _low, _high, step) => value * step), by((value, low, _high, step) => value * (low + 128.5 * step)));
    const sum = this.#sum(by((value, low, high) => value * (high - low)), by((value, low) => value * low));
    if (!this.isUnit) return sum;
    const squares = this.#sum(by((_, low, high) => high * high - low * low), by((_, low) => low * low));
    return (codes, from) => sum(codes, from) / Math.sqrt(squares(codes, from) > 0 ? squares(codes, from) : 1);
  }

  /** A code's levels times parts that are whole numbers, whose sums have no order, and the sum of what is added. */
  #sum(parts, added) {
    const most = parts.reduce((largest, part) => Math.max(largest, Math.abs(part)), 0);
    const whole = Float64Array.from(parts, (part) => (most === 0 ? 0 : Math.floor(part * (WEIGHT_SCALE / most) + 0.5)));
    const scale = most / WEIGHT_SCALE;
    const base = added.reduce((sum, value) => sum + value, 0);
    const { width, isBinary } = this;
    return (codes, from) => {
      let sum = 0;
      for (let at = 0; at < width; at += 1) sum += whole[at] * (isBinary ? (codes[from + (at >> 3)] >> (7 - (at & 7))) & 1 : codes[from + at]);
      return sum * scale + base;
    };
  }
}

/** null: the model's vectors have no codes. */
export function coderOf(manifest) {
  return manifest?.answers?.codes ? new Coder(manifest.answers) : null;
}

/** Codes of texts, and the nearest of them to a query. Of model.index(). */
export class VectorIndex {
  #coder;
  #codes = new Uint8Array(0);
  #count = 0;

  constructor(coder) {
    this.#coder = coder;
  }

  get size() {
    return this.#count;
  }

  /** The place of the vector: {values}, as ask() gives it. */
  add(vector) {
    const code = this.#coder.code(this.#checked(vector));
    const from = this.#count * this.#coder.bytes;
    if (from + code.length > this.#codes.length) {
      const more = new Uint8Array(Math.max(64, 2 * this.#count + 1) * this.#coder.bytes);
      more.set(this.#codes);
      this.#codes = more;
    }
    this.#codes.set(new Uint8Array(code.buffer), from);
    this.#count += 1;
    return this.#count - 1;
  }

  /**
   * [{place, score}]: the nearest texts, the nearest first, and of equals the one that was added first. rescore: of binary codes so many
   * times `count` are taken by Hamming distance, and ordered by the query's numbers; 0: by Hamming distance alone, and the score is the
   * share of equal bits less that of others.
   */
  search(query, count = 10, rescore = RESCORED) {
    if (!Number.isInteger(count) || !Number.isInteger(rescore) || count < 1 || rescore < 0) {
      throw new BadInput("count is less than 1, or rescore less than 0", "leave them out, or give whole numbers");
    }
    const values = this.#checked(query);
    const places = Array.from({ length: this.#count }, (_, place) => place);
    if (!this.#coder.isBinary) return this.#scored(values, places, count);
    const distances = this.#distances(this.#coder.code(values));
    const nearest = places.sort((a, b) => distances[a] - distances[b] || a - b).slice(0, count * Math.max(1, rescore));
    if (rescore > 0) return this.#scored(values, nearest.sort((a, b) => a - b), count);
    return nearest.map((place) => ({ place, score: 1 - (2 * distances[place]) / this.#coder.width }));
  }

  /** Bits that differ from each code, four bytes at once. */
  #distances(asked) {
    const { bytes } = this.#coder;
    const words = Math.ceil(bytes / 4);
    const row = new Uint8Array(4 * words);
    const numbers = new Uint32Array(row.buffer);
    row.set(asked);
    const query = Uint32Array.from(numbers);
    return Uint32Array.from({ length: this.#count }, (_, place) => {
      row.set(this.#codes.subarray(place * bytes, (place + 1) * bytes));
      let distance = 0;
      for (let at = 0; at < words; at += 1) distance += bitsSet(numbers[at] ^ query[at]);
      return distance;
    });
  }

  #scored(query, places, count) {
    const score = this.#coder.scores(query);
    const codes = this.#coder.isBinary ? this.#codes : new Int8Array(this.#codes.buffer, this.#codes.byteOffset, this.#codes.length);
    const hits = places.map((place) => ({ place, score: score(codes, place * this.#coder.bytes) }));
    return hits.sort((a, b) => b.score - a.score).slice(0, count);
  }

  #checked(vector) {
    const values = vector?.values;
    if (!(values instanceof Float32Array) || values.length !== this.#coder.width || !values.every(Number.isFinite)) {
      throw new BadInput(`this is no vector of ${this.#coder.width} numbers`, "give what ask() answers");
    }
    return values;
  }

  /** A head of 40 bytes and the codes one behind the other: the same as the other modules write. */
  toBytes() {
    const { bytes, kind, width, id } = this.#coder;
    const content = new Uint8Array(HEAD + this.#count * bytes);
    const view = new DataView(content.buffer);
    content.set(new TextEncoder().encode(MAGIC));
    view.setUint16(8, VERSION, true);
    view.setUint16(10, KINDS[kind], true);
    view.setUint32(12, width, true);
    view.setUint32(16, this.#count, true);
    view.setUint32(20, crc32(this.#codes.subarray(0, this.#count * bytes)), true);
    content.set(new TextEncoder().encode(id), 24);
    content.set(this.#codes.subarray(0, this.#count * bytes), HEAD);
    return content;
  }

  /** This index with the codes of bytes that toBytes gave, here or in another module of the same model. */
  restore(saved) {
    const { bytes, kind, width, id } = this.#coder;
    const content = bytesOf(saved);
    const text = (from, to) => new TextDecoder().decode(content.subarray(from, to));
    const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
    if (content.length < HEAD || text(0, 8) !== MAGIC || view.getUint16(8, true) !== VERSION) {
      throw new BadInput("this is no index of this version", "save the index again");
    }
    if (view.getUint16(10, true) !== KINDS[kind] || view.getUint32(12, true) !== width || text(24, HEAD) !== id) {
      throw new BadInput("the index is of another model", "make it again with this one");
    }
    const count = view.getUint32(16, true);
    if (content.length - HEAD !== count * bytes) throw new BadInput("the index is not whole", "copy or make it again");
    if (view.getUint32(20, true) !== crc32(content.subarray(HEAD))) throw new BadInput("the index is damaged", "copy or make it again");
    this.#codes = content.slice(HEAD);
    this.#count = count;
    return this;
  }
}

/** A Uint8Array even of a Node Buffer, whose slice() would not copy. Empty where this is no bytes. */
function bytesOf(saved) {
  if (ArrayBuffer.isView(saved)) return new Uint8Array(saved.buffer, saved.byteOffset, saved.byteLength);
  return new Uint8Array(saved instanceof ArrayBuffer ? saved : 0);
}

/** As zlib counts it. */
function crc32(content) {
  return ~content.reduce((crc, byte) => CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8), 0xffffffff) >>> 0;
}

function bitsSet(word) {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
