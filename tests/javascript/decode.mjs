// For tests: weights.coded of several folders as JavaScript decodes them. A JSON list of folders in, a list of hashes or problems out.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decoded } from "../../targets/web/src/coded.mjs";

const answers = [];
for (const folder of JSON.parse(readFileSync(0, "utf8"))) {
  const { coded } = JSON.parse(readFileSync(join(folder, "runnable.json"), "utf8"));
  try {
    const whole = await decoded(new Uint8Array(readFileSync(join(folder, coded.coded))), coded);
    answers.push({ sha256: createHash("sha256").update(whole).digest("hex") });
  } catch (error) {
    answers.push({ name: error.name, problem: error.problem, fix: error.fix });
  }
}
process.stdout.write(JSON.stringify(answers));
