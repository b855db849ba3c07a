// The jobs of targets/protocol.py where the runtime is one of JavaScript's: the same warm-up, the same JSON home, raw samples.
//
// A device is what differs between a browser and Node: {ort, name, version, importMs, manifest, open(manifest, threads, exact), facts(),
// bytesRead(), resetPeak(), resident(), cpuSeconds()}. What a device cannot tell is null. open gives run(feeds) -> arrays, each
// {data, dims}, in the order of the file's outputs.

import { emptyCache } from "../web/src/decoder.mjs";
import { int64, oneText } from "../web/src/session.mjs";
import { decoderOf } from "./decoder.mjs";
import { median, percentile } from "./percentiles.mjs";
import { Refused } from "./refused.mjs";

const WARM_UP_RUNS = 10;
const WARM_UP_MS = 5000;
const STEADY = 0.02;
const SLICE_MS = 10_000; // of a sustained run
const MEMORY_TOKENS = 8; // decoded one by one behind the prompt when memory is measured

/** One job's result. Refused: a job that cannot be done as asked. */
export async function perform(device, job) {
  const work = JOBS[job.kind];
  if (!work) throw new Refused(`${device.name} has no job ${job.kind}`, WAYS_OUT[job.kind] ?? "measure on this machine: --on local");
  const result = await work(device, job);
  const { rows: _, ...settings } = job;
  const runtime = { name: device.name, version: device.version, numpy: null, import_ms: device.importMs };
  return { ...result, job: settings, runtime, machine: device.facts() };
}

const WAYS_OUT = { ops: "leave --ops out, or measure on this machine: --on local" };

const JOBS = {
  load: async (device, job) => {
    const before = device.bytesRead();
    let start = performance.now();
    const run = await device.open(device.manifest, job.threads, false);
    const sessionMs = performance.now() - start;
    start = performance.now();
    await run(randomText(device, job.length));
    const firstMs = performance.now() - start;
    const after = device.bytesRead();
    const read = before === null || after === null ? null : after - before;
    const parts = run.times ?? { read_ms: null, decode_ms: null, decoded_bytes: null };
    return { session_ms: sessionMs, first_inference_ms: firstMs, read_bytes: read, weight_cache_bytes: 0, ...parts };
  },
  latency: async (device, job) => timed(device, await nextText(device, job), job),
  sustained: async (device, job) => sustained(device, await nextText(device, job), job),
  quiet: async (device, job) => {
    const before = await device.cpuSeconds();
    await new Promise((resolve) => { setTimeout(resolve, job.seconds * 1e3); });
    return { contention: contention(before, await device.cpuSeconds()) };
  },
  memory: (device, job) =>
    occupied(device, () => device.open(device.manifest, job.threads, false), async (run) => {
      for (let count = 0; count < 5; count += 1) await run(randomText(device, job.length));
    }),
  answer: async (device, job) => {
    const { manifest } = device;
    const run = await device.open({ ...manifest, model: manifest.score_model ?? manifest.model }, job.threads, job.exact ?? false);
    const outputs = [];
    const batch = job.batch ?? 1;
    if (batch > 1 && !device.manifest.inputs.includes("attention_mask")) {
      throw new Refused(`the file reads one text at a time, not ${batch}`, "build the pack with --batch");
    }
    for (let at = 0; at < job.rows.length; at += batch) outputs.push(...(await answers(device, run, job.rows.slice(at, at + batch), job)));
    return { outputs, exact_int8: job.exact ?? false };
  },
  prefill: async (device, job) => {
    const decoder = decoderOf(device, await device.open(device.manifest, job.threads, false), job.length);
    const prompt = randomIds(device, job.length);
    return timed(device, () => { decoder.forget(); return decoder.step(prompt); }, job);
  },
  decode: async (device, job) => timed(device, await nextToken(device, job), job),
  sustained_decode: async (device, job) => sustained(device, await nextToken(device, job), job),
  decode_memory: (device, job) => {
    const context = randomIds(device, job.length);
    const prompt = context.length - Math.min(MEMORY_TOKENS, context.length - 1);
    const opened = async () => decoderOf(device, await device.open(device.manifest, job.threads, false), context.length);
    return occupied(device, opened, async (decoder) => {
      await decoder.step(context.slice(0, prompt));
      for (const token of context.slice(prompt)) await decoder.step([token]);
    });
  },
};

async function nextText(device, job) {
  const run = await device.open(device.manifest, job.threads, false);
  const feeds = randomText(device, job.length);
  return () => run(feeds);
}

/** Decodes one token with `length` others before it: it is taken back each time, so that the context stays as long. */
async function nextToken(device, job) {
  const decoder = decoderOf(device, await device.open(device.manifest, job.threads, false), job.length + 1);
  const context = randomIds(device, job.length);
  await decoder.step(context);
  const past = decoder.keep();
  return () => {
    decoder.restore(past);
    return decoder.step(context.slice(-1));
  };
}

/** Raw times of `act`, warmed up: at least job.runs of them and job.seconds long. */
async function timed(device, act, job) {
  const warmUpRuns = await warmUp(act, job.warm_up_runs ?? WARM_UP_RUNS);
  const before = device.facts();
  const around = await device.cpuSeconds();
  const samples = [];
  const began = performance.now();
  while (samples.length < job.runs || performance.now() - began < job.seconds * 1e3) {
    const start = performance.now();
    await act();
    samples.push(Math.round((performance.now() - start) * 1e4) / 1e4);
  }
  const beside = contention(around, await device.cpuSeconds());
  return { samples_ms: samples, warm_up_runs: warmUpRuns, machine_before: before, contention: beside };
}

/** Times of `act` without a pause for job.seconds: a row for every ten of them. */
async function sustained(device, act, job) {
  const rows = [];
  const began = performance.now();
  const end = began + job.seconds * 1e3;
  while (performance.now() < end) {
    const atMs = performance.now() - began;
    const until = Math.min(end, performance.now() + SLICE_MS);
    const samples = [];
    while (performance.now() < until || !samples.length) {
      const start = performance.now();
      await act();
      samples.push(performance.now() - start);
    }
    const [p50, p90] = [50, 90].map((share) => Math.round(percentile(samples, share) * 1e4) / 1e4);
    rows.push({ at_s: Math.round(atMs / 100) / 10, n: samples.length, p50, p90, clock_mhz: null, temperature_c: null });
  }
  return { slices: rows };
}

/** Shares of the cores' time, 0 to 1, that others took between two readings of cpuSeconds(); null where nobody can tell. */
function contention(before, after) {
  if (!before || !after || after.at <= before.at) return { others: null, stolen: null };
  const whole = (after.at - before.at) * after.cores;
  const share = (seconds) => Math.round(Math.min(1, Math.max(0, seconds) / whole) * 1e4) / 1e4;
  return { others: share(after.busy - before.busy - (after.own - before.own)), stolen: share(after.stolen - before.stolen) };
}

async function warmUp(act, atLeast) {
  const times = [];
  const began = performance.now();
  for (;;) {
    const start = performance.now();
    await act();
    times.push(performance.now() - start);
    const recent = times.slice(-WARM_UP_RUNS / 2);
    const earlier = times.slice(-WARM_UP_RUNS, -WARM_UP_RUNS / 2);
    const steady = times.length >= WARM_UP_RUNS && Math.abs(median(recent) / median(earlier) - 1) < STEADY;
    if (times.length >= atLeast && (steady || performance.now() - began > WARM_UP_MS)) return times.length;
  }
}

/** Memory before `openIt`, after it, and at the peak of `useIt`. */
async function occupied(device, openIt, useIt) {
  const couldReset = await device.resetPeak();
  const empty = await device.resident();
  const opened = await openIt();
  const loaded = await device.resident();
  await useIt(opened);
  return { empty_mb: empty, loaded_mb: loaded, running_mb: await device.resident(), peak_is_exact: couldReset };
}

/** Random tokens, the same at every call: latency must not hang on words. */
function randomIds({ manifest }, length) {
  let state = length;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // Numerical Recipes' generator
    return Math.floor((state / 2 ** 32) * manifest.vocab);
  });
}

function randomText(device, length) {
  const { ort, manifest } = device;
  return { ...oneText(ort, manifest.inputs, randomIds(device, length)), ...emptyCache(ort, manifest, 1) };
}

/** Texts padded to the longest of them. */
function feedsOf({ ort, manifest }, rows) {
  const longest = Math.max(...rows.map((row) => row.input_ids.length));
  const fill = { input_ids: manifest.pad_id, attention_mask: 0, token_type_ids: 0 };
  const dims = [rows.length, longest];
  const feeds = {};
  for (const name of manifest.inputs) {
    const values = rows.flatMap((row) => {
      const stated = name === "attention_mask" ? row.input_ids.map(() => 1) : row[name];
      return [...stated, ...new Array(longest - stated.length).fill(fill[name])];
    });
    feeds[name] = int64(ort, values, dims);
  }
  return { ...feeds, ...emptyCache(ort, manifest, rows.length) };
}

async function answers(device, run, rows, job) {
  const { manifest } = device;
  const whole = async () => stacked((await run(feedsOf(device, rows))).slice(0, manifest.outputs.length));
  const { data, dims } = job.at_once == null ? await whole() : await inParts(device, run, rows[0], job.at_once);
  const size = data.length / dims[0];
  return rows.map((row, index) => {
    const values = data.subarray(index * size, (index + 1) * size);
    if (manifest.task === "text-generation") return reduced(values, dims.at(-1), row.input_ids);
    const answer = nestedArray(values, dims.slice(1));
    return manifest.per_token ? answer.slice(0, row.input_ids.length) : answer;
  });
}

/** A text that a decoder reads in parts of `atOnce` tokens, with its cache handed back to it each time. */
async function inParts(device, run, row, atOnce) {
  const decoder = decoderOf(device, run, row.input_ids.length);
  const parts = [];
  for (let at = 0; at < row.input_ids.length; at += atOnce) parts.push(await decoder.step(row.input_ids.slice(at, at + atOnce)));
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  return { data, dims: [1, row.input_ids.length, parts[0].dims.at(-1)] };
}

/** Several outputs of one shape as one, along a new last axis. */
function stacked(arrays) {
  if (arrays.length === 1) return arrays[0];
  const [{ data: first, dims }] = arrays;
  const data = new Float32Array(first.length * arrays.length);
  arrays.forEach((array, which) => array.data.forEach((value, index) => { data[index * arrays.length + which] = value; }));
  return { data, dims: [...dims, arrays.length] };
}

function nestedArray(data, dims) {
  if (dims.length <= 1) return Array.from(data);
  const size = data.length / dims[0];
  return Array.from({ length: dims[0] }, (_, index) => nestedArray(data.subarray(index * size, (index + 1) * size), dims.slice(1)));
}

/** Next-token logits become the true next token's negative log-likelihood and the likeliest token: two numbers a token. */
function reduced(logits, vocab, ids) {
  return ids.slice(1).map((next, at) => {
    const row = logits.subarray(at * vocab, (at + 1) * vocab);
    let likeliest = 0;
    for (let index = 1; index < vocab; index += 1) if (row[index] > row[likeliest]) likeliest = index;
    let sum = 0;
    for (const value of row) sum += Math.exp(value - row[likeliest]);
    return [Math.log(sum) + row[likeliest] - row[next], likeliest];
  });
}
