// How a pack's ONNX file is opened and fed by JavaScript, in a module's worker as where a pack is measured.

// An ONNX file of one Identity.
const NOTHING = "CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEA0=";
const LEVELS = { disable_all: "disabled", basic: "basic", extended: "extended", all: "all" };

/** The settings that the pack was measured with, as InferenceSession.create takes them. */
export function sessionOptions(manifest) {
  return {
    graphOptimizationLevel: LEVELS[manifest.session.graph_optimization_level],
    extra: nested(manifest.session.config),
  };
}

/** Makes the runtime `ort` compile and start, which it does at its first session. */
export async function warmRuntime(ort, provider) {
  const nothing = Uint8Array.from(atob(NOTHING), (character) => character.charCodeAt(0));
  const session = await ort.InferenceSession.create(nothing, { executionProviders: [provider], intraOpNumThreads: 1 });
  await session.release();
}

/** Token ids, or a mask, of `dims` as a tensor of `ort`, the runtime's own module. */
export function int64(ort, values, dims) {
  return new ort.Tensor("int64", BigInt64Array.from(values, BigInt), dims);
}

/** "session.disable_prepacking": "1" as the runtime takes it here: {session: {disable_prepacking: "1"}}. */
function nested(config) {
  const result = {};
  for (const [key, value] of Object.entries(config ?? {})) {
    const parts = key.split(".");
    const last = parts.pop();
    parts.reduce((place, part) => (place[part] ??= {}), result)[last] = value;
  }
  return result;
}
