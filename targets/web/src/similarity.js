// How alike two vectors are, by what the model's folder states, as sentence-transformers' `similarity`: more is more alike.

import { BadInput } from "./errors.js";

const SMALLEST = 1e-12;
const sum = (first, second, part) => first.reduce((total, value, at) => total + part(value, second[at]), 0);
const length = (values) => Math.max(SMALLEST, Math.sqrt(sum(values, values, (a, b) => a * b)));
const dot = (first, second) => sum(first, second, (a, b) => a * b);
const COMPARED = {
  cosine: (first, second) => dot(first, second) / (length(first) * length(second)),
  dot,
  euclidean: (first, second) => -Math.sqrt(sum(first, second, (a, b) => (a - b) ** 2)),
  manhattan: (first, second) => -sum(first, second, (a, b) => Math.abs(a - b)),
};

/** name: of the similarity, as the manifest's answers state it; vectors as the model gives them. */
export function similarity(name, { values: first }, { values: second }) {
  if (first.length !== second.length) {
    throw new BadInput(`vectors of ${first.length} and ${second.length} numbers cannot be compared`, "give two of this model");
  }
  return COMPARED[name](first, second);
}
