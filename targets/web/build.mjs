// npm run build: bundles the module into dist/, beside its model, and puts the runtime's own files there. dist/ is what a server serves.

import { copyFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { build } from "esbuild";

const RUNTIME = ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
const { resolve } = createRequire(import.meta.url);

await build({
  entryPoints: ["src/index.js", "src/worker.js"],
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  conditions: ["onnxruntime-web-use-extern-wasm"], // the runtime's loader stays a file of its own: its threads start from it
  legalComments: "linked",
});
await mkdir("dist/runtime", { recursive: true });
for (const name of RUNTIME) await copyFile(resolve(`onnxruntime-web/${name}`), `dist/runtime/${name}`);
await copyFile("src/index.d.ts", "dist/index.d.ts");
