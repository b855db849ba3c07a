// A decoder where a pack is measured: the module's own, which refuses a job that the pack cannot do.

import { Decoder } from "../web/src/decoder.mjs";
import { isDecoder } from "../web/src/session.mjs";
import { Refused } from "./refused.mjs";

/** run: what opens the pack's file gave. Refused where the pack has fewer positions. */
export function decoderOf({ ort, manifest }, run, positions) {
  if (!isDecoder(manifest)) throw new Refused("the pack keeps no keys and values", "build a text-generation model with this edgepack");
  if (positions > manifest.positions) {
    const problem = `${positions} tokens are more than the model's ${manifest.positions} positions`;
    throw new Refused(problem, "shorten the prompt or the context");
  }
  return new Decoder(ort, manifest, run);
}
