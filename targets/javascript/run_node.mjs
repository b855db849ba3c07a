// Target: onnxruntime-node. `node run_node.mjs RUNTIME PACK JOB [exactly]`: one job as JSON in a file, one JSON object on standard output.
//
// exactly: the job wants exact products, and this CPU may saturate them. Who starts this asks targets/machine.py, which knows.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import { join } from "node:path";
import { opened, sessionOptions, warmRuntime } from "../web/src/session.mjs";
import { decoded } from "../web/src/coded.mjs";
import { perform } from "./protocol.mjs";
import { errorOf } from "./refused.mjs";

const [runtime, pack, jobFile, exactly] = process.argv.slice(2);
const TICKS_A_SECOND = 100; // of /proc/stat, on every Linux that Node runs on
const ARCHS = { x64: "x86_64", arm64: "aarch64", arm: "armv7l" };

function pairs(path) {
  try {
    const lines = readFileSync(path, "utf8").split("\n").map((line) => line.split(/:(.*)/s));
    return Object.fromEntries(lines.filter((parts) => parts.length > 1).map(([key, value]) => [key.trim(), value.trim()]).reverse());
  } catch {
    return {}; // no Linux: what is asked for is null
  }
}

function facts() {
  const cores = os.availableParallelism?.() ?? os.cpus().length;
  return { arch: ARCHS[os.arch()] ?? os.arch(), cores, node: process.versions.node, python: null };
}

function resident() {
  const status = pairs("/proc/self/status");
  const mb = (key) => (key in status ? (Number.parseInt(status[key], 10) * 1024) / 1e6 : null);
  return { peak: mb("VmHWM"), resident: mb("VmRSS"), anonymous: mb("RssAnon"), file: mb("RssFile") };
}

/** Sets VmHWM to what is resident now (proc(5), clear_refs); false where the kernel does not let us. */
function resetPeak() {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
    return true;
  } catch {
    return false;
  }
}

/** Seconds that the usable cores were busy, that a hypervisor gave to others, and that this process took; null where nobody can tell. */
function cpuSeconds() {
  try {
    const allowed = usableCores();
    const lines = readFileSync("/proc/stat", "utf8").split("\n").filter((line) => allowed.has(line.split(" ")[0]));
    const ticks = lines.map((line) => line.split(/ +/).slice(1, 9).map((tick) => Number(tick) / TICKS_A_SECOND));
    const [user, nice, system, , , irq, softirq, stolen] = ticks[0].map((_, index) => ticks.reduce((sum, row) => sum + row[index], 0));
    const { user: ours, system: kernels } = process.cpuUsage();
    const busy = user + nice + system + irq + softirq;
    return { busy, stolen, own: (ours + kernels) / 1e6, cores: lines.length, at: performance.now() / 1e3 };
  } catch {
    return null;
  }
}

function usableCores() {
  const ranges = pairs("/proc/self/status").Cpus_allowed_list.split(",").map((range) => range.split("-").map(Number));
  return new Set(ranges.flatMap(([from, to]) => Array.from({ length: (to ?? from) - from + 1 }, (_, index) => `cpu${from + index}`)));
}

function bytesRead() {
  const value = pairs("/proc/self/io").read_bytes;
  return value === undefined ? null : Number(value);
}

function readRunnable(pack) {
  const path = join(pack, "runnable.json");
  return JSON.parse(readFileSync(existsSync(path) ? path : join(pack, "pack.json"), "utf8")); // schema 1 has pack.json alone
}

/** What the runtime opens: a path, or, where weights are coded, the graph with what they decode to, and how long that took. */
async function weightsOf(pack, { model, coded }) {
  if (!coded) return { model: join(pack, model), options: {}, times: null };
  let start = performance.now();
  const content = readFileSync(join(pack, coded.coded));
  const readMs = performance.now() - start;
  start = performance.now();
  const data = await decoded(content, coded);
  const times = { read_ms: readMs, decode_ms: performance.now() - start, decoded_bytes: coded.bytes };
  return { model: readFileSync(join(pack, model)), options: { externalData: [{ path: coded.file, data }] }, times };
}

async function main() {
  const began = performance.now();
  const ort = createRequire(join(runtime, "package.json"))(runtime);
  await warmRuntime(ort, "cpu"); // no part of a session's load
  const importMs = performance.now() - began;
  const manifest = readRunnable(pack);
  const open = async (wanted, threads, exact) => {
    const settings = sessionOptions(manifest);
    const careful = exact && exactly === "exactly";
    const weights = await weightsOf(pack, wanted);
    const run = await opened(ort, weights.model, {
      ...weights.options,
      executionProviders: ["cpu"],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
      ...settings,
      ...(careful ? { graphOptimizationLevel: "extended", extra: { session: { ...settings.extra.session, x64quantprecision: "1" } } } : {}),
    });
    return Object.assign(run, { times: weights.times });
  };
  const version = JSON.parse(readFileSync(join(runtime, "package.json"), "utf8")).version;
  const device = { ort, name: "onnxruntime-node", version, importMs, manifest, facts, bytesRead, resetPeak, resident, cpuSeconds, open };
  return perform(device, JSON.parse(readFileSync(jobFile, "utf8")));
}

main().then(
  (result) => process.stdout.write(JSON.stringify(result)),
  (error) => {
    process.stdout.write(JSON.stringify(errorOf(error)));
    process.exitCode = 1;
  },
);
