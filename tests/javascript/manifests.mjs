// For tests: what JavaScript says of module.json. A JSON list of texts in; a list of problems out, empty where there is none.

import { readFileSync } from "node:fs";
import { Changed } from "../../targets/web/src/errors.js";
import { readManifest } from "../../targets/web/src/manifest.js";

const problems = JSON.parse(readFileSync(0, "utf8")).map((text) => {
  try {
    readManifest(new TextEncoder().encode(text));
    return "";
  } catch (error) {
    if (!(error instanceof Changed)) throw error;
    return error.problem;
  }
});
process.stdout.write(JSON.stringify(problems));
