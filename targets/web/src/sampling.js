// Which token comes next: greedy, temperature, top-k, top-p and the like. As targets/sampling.py, in the order of transformers.

/** temperature 0: always the likeliest, the first of equals. draw(): a number from 0 to below 1. */
export function chosenToken(logits, sampling, draw) {
  let best = 0;
  for (let index = 1; index < logits.length; index += 1) if (logits[index] > logits[best]) best = index;
  if (!Number.isFinite(logits[best])) throw new Error("the model's logits are not numbers: run the self-test");
  if (sampling.temperature === 0 || sampling.topK === 1) return best;
  const candidates = likely(logits, logits[best], sampling);
  const sum = candidates.reduce((total, { chance }) => total + chance, 0);
  let at = draw() * sum;
  for (const { index, chance } of candidates) {
    at -= chance;
    if (at < 0) return index;
  }
  return candidates.at(-1).index;
}

/** {index, chance} of the tokens that are drawn from, the likeliest first. */
function likely(logits, peak, { temperature, topK, topP, minP, typicalP, epsilon, eta }) {
  let order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
  if (topK > 0) order = order.slice(0, topK);
  let candidates = withSumOne(order.map((index) => ({ index, chance: Math.exp((logits[index] - peak) / temperature) })));
  if (topP < 1) {
    let sum = 0;
    candidates = candidates.filter(({ chance }, rank) => { const isIn = rank === 0 || sum < topP; sum += chance; return isIn; });
  }
  if (minP > 0) candidates = withSumOne(candidates).filter(({ chance }, rank, all) => rank === 0 || chance >= minP * all[0].chance);
  if (typicalP < 1) candidates = typical(withSumOne(candidates), typicalP);
  if (epsilon > 0 || eta > 0) candidates = withoutRare(withSumOne(candidates), epsilon, eta);
  return candidates;
}

function withSumOne(candidates) {
  const sum = candidates.reduce((total, { chance }) => total + chance, 0);
  return candidates.map(({ index, chance }) => ({ index, chance: chance / sum }));
}

/** Tokens whose surprise is nearest to the expected one, as many as reach the mass (Meister 2022). */
function typical(candidates, mass) {
  const surprise = candidates.map(({ chance }) => -Math.log(Math.max(chance, 1e-300)));
  const expected = candidates.reduce((sum, { chance }, rank) => sum + chance * surprise[rank], 0);
  const distance = surprise.map((value) => Math.abs(value - expected));
  const order = Array.from(distance.keys()).sort((a, b) => distance[a] - distance[b] || a - b);
  let sum = 0;
  let last = 0;
  for (const [rank, at] of order.entries()) {
    sum += candidates[at].chance;
    last = Math.min(rank + (sum < mass ? 1 : 0), order.length - 1);
    if (sum >= mass) break;
  }
  return candidates.filter((_, at) => distance[at] <= distance[order[last]]);
}

/** Tokens above epsilon, then those above eta, which goes by the entropy of what epsilon left (Hewitt 2022); the likeliest stays. */
function withoutRare(candidates, epsilon, eta) {
  const most = Math.max(...candidates.map(({ chance }) => chance));
  let left = candidates.filter(({ chance }) => chance >= epsilon || chance === most);
  if (eta > 0) {
    left = withSumOne(left);
    const entropy = -left.reduce((sum, { chance }) => sum + chance * Math.log(Math.max(chance, 1e-300)), 0);
    const least = Math.min(eta, Math.sqrt(eta) * Math.exp(-entropy));
    const largest = Math.max(...left.map(({ chance }) => chance));
    left = left.filter(({ chance }) => chance >= least || chance === largest);
  }
  return left;
}

/** Numbers from 0 to below 1, the same for the same seed in every browser (mulberry32, public domain by Tommy Ettinger). */
export function drawing(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
