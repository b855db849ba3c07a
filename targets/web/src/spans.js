// The answer to a question in a context: the best span over all windows, or none where the model may give none. As targets/module/spans.py.

const BEST_STARTS = 20;
const LONGEST_ANSWER = 30; // tokens, as when the model was measured
const STRIDE = 64;

/** {text, start, end, score, cut}; start and end in UTF-16 units. */
export async function findAnswer(model, question, context) {
  const { longest = LONGEST_ANSWER, stride = STRIDE, no_answer: mayBeNone = false, threshold } = model.manifest.answers ?? {};
  const windows = model.texts.windows(question, context, Math.min(stride, Math.floor(model.manifest.max_length / 4)));
  const sums = [new LogSum(), new LogSum()];
  let best = { sum: -Infinity, place: null };
  let none = Infinity;
  for (const window of windows) {
    const [starts, ends] = (await model.run(window)).map(({ data }) => data);
    none = Math.min(none, starts[0] + ends[0]);
    const isInside = window.places.map((place) => place !== null);
    [starts, ends].forEach((values, side) => isInside.forEach((inside, at) => { if (inside) sums[side].add(values[at]); }));
    best = bestSpan(window, starts, ends, longest, best);
  }
  if (best.place === null) return { text: "", start: 0, end: 0, score: 0, cut: false };
  // An older pack may state no threshold: then there always is an answer, as when it was measured.
  if (mayBeNone && threshold != null && none - best.sum > threshold) {
    return { text: "", start: 0, end: 0, score: 1 / (1 + Math.exp(best.sum - none)), cut: false };
  }
  const [start, end] = unitsOf(context, best.place);
  const score = Math.exp(best.sum - sums[0].value - sums[1].value);
  return { text: context.slice(start, end), start, end, score, cut: false };
}

/** The better of `best` and this window's best span, whose start is one of the likeliest (Devlin 2019). */
function bestSpan({ places }, starts, ends, longest, best) {
  let result = best;
  const inside = places.flatMap((place, at) => (place === null ? [] : [at]));
  const firsts = inside.sort((a, b) => starts[b] - starts[a] || a - b).slice(0, BEST_STARTS);
  for (const first of firsts) {
    let last = -1;
    for (let at = first; at < Math.min(first + longest, ends.length); at += 1) {
      if (places[at] !== null && (last < 0 || ends[at] > ends[last])) last = at;
    }
    const sum = starts[first] + ends[last];
    if (sum > result.sum) result = { sum, place: [places[first][0], places[last][1]] };
  }
  return result;
}

/** Places in characters (code points) become places in UTF-16 units. */
function unitsOf(text, [start, end]) {
  const characters = [...text];
  const before = characters.slice(0, start).join("").length;
  return [before, before + characters.slice(start, end).join("").length];
}

/** The logarithm of a sum of exponentials, of values that come one by one. */
class LogSum {
  #peak = -Infinity;
  #sum = 0;

  add(value) {
    if (value > this.#peak) {
      this.#sum = this.#sum * Math.exp(this.#peak - value) + 1;
      this.#peak = value;
    } else {
      this.#sum += Math.exp(value - this.#peak);
    }
  }

  get value() {
    return this.#peak + Math.log(this.#sum);
  }
}
