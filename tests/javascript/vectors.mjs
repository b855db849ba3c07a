// For tests: the web module's codes and search in Node. A JSON list of {answers, vectors, queries, count, rescore} in, what each gives out.

import { readFileSync } from "node:fs";
import { ModuleError } from "../../targets/web/src/index.js";
import { Coder, VectorIndex } from "../../targets/web/src/search.js";

/** A Buffer lies in a pool with others, as what fs reads may. */
function restored(saved, as) {
  const content = Buffer.from(saved, "base64");
  return as === "ArrayBuffer" ? Uint8Array.from(content).buffer : as === "text" ? saved : content;
}

const answers = JSON.parse(readFileSync(0, "utf8")).map((asked) => {
  try {
    const coder = new Coder(asked.answers);
    const vectors = asked.vectors.map((values) => ({ values: Float32Array.from(values) }));
    const index = new VectorIndex(coder);
    if (asked.saved) index.restore(restored(asked.saved, asked.as));
    for (const vector of vectors) index.add(vector);
    const hits = asked.queries.map((values) => (
      index.search({ values: Float32Array.from(values) }, asked.count, asked.rescore).map(({ place, score }) => [place, score])));
    return { codes: vectors.map(({ values }) => [...coder.code(values)]), hits, saved: Buffer.from(index.toBytes()).toString("base64") };
  } catch (error) {
    if (!(error instanceof ModuleError) || error.name !== "BadInput") throw error;
    return { problem: error.problem };
  }
});
process.stdout.write(JSON.stringify(answers));
