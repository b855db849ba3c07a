// For tests: the web module's codes and search in Node. A JSON list of {answers, vectors, queries, count, rescore} in, what each gives out.

import { readFileSync } from "node:fs";
import { Coder, VectorIndex } from "../../targets/web/src/search.js";

const answers = JSON.parse(readFileSync(0, "utf8")).map((asked) => {
  try {
    const coder = new Coder(asked.answers);
    const vectors = asked.vectors.map((values) => ({ values: Float32Array.from(values) }));
    const index = new VectorIndex(coder);
    if (asked.saved) index.restore(Uint8Array.from(Buffer.from(asked.saved, "base64")));
    for (const vector of vectors) index.add(vector);
    const hits = asked.queries.map((values) => (
      index.search({ values: Float32Array.from(values) }, asked.count, asked.rescore).map(({ place, score }) => [place, score])));
    return { codes: vectors.map(({ values }) => [...coder.code(values)]), hits, saved: Buffer.from(index.toBytes()).toString("base64") };
  } catch (error) {
    if (error.name !== "BadInput") throw error;
    return { problem: error.problem };
  }
});
process.stdout.write(JSON.stringify(answers));
