// Tags of tokens become entities: as transformers' token-classification pipeline forms them, or by the scheme of tags that have an end.
// The same as targets/module/tags.py.

export const OLDER = { strategy: "first", scheme: "iob2", words: "white-space", subword_prefix: false, unk_id: null, ignore: ["O"] };
const HAVE_ENDS = ["bioes", "bilou"];
const GO_ON = ["I", "M", "E", "L"];
const OPEN = ["B", "I", "M"];

/** units: {start, end, scores, goesOn} in order. [{kind, start, end, score}]. answers: as the pack states them. */
export function entities(units, labels, answers) {
  const parts = byWord(answers) ? words(units).map((group) => word(group, answers.strategy)) : units;
  const tagged = parts.map(({ start, end, scores }) => {
    const best = bestOf(scores);
    return { kind: labels[best], start, end, score: scores[best] };
  });
  const whole = answers.strategy === "none" ? tagged : groups(tagged, answers.scheme).map(entity);
  return whole.filter(({ kind }) => !answers.ignore.includes(kind));
}

export function byWord({ strategy }) {
  return strategy !== "none" && strategy !== "simple";
}

function words(units) {
  const result = [];
  for (const unit of units) {
    if (result.length > 0 && unit.goesOn) result.at(-1).push(unit);
    else result.push([unit]);
  }
  return result;
}

/** first: the scores of the first token; max: of the surest; average: the mean of all. */
function word(group, strategy) {
  let { scores } = group[0];
  if (strategy === "max") {
    for (const unit of group) if (unit.scores[bestOf(unit.scores)] > scores[bestOf(scores)]) scores = unit.scores;
  } else if (strategy === "average") {
    scores = scores.map((_, label) => group.reduce((sum, unit) => sum + unit.scores[label] / group.length, 0));
  }
  return { start: group[0].start, end: group.at(-1).end, scores };
}

function groups(tagged, scheme) {
  const result = [];
  for (const each of tagged) {
    if (result.length > 0 && joins(scheme, result.at(-1).at(-1).kind, each.kind)) result.at(-1).push(each);
    else result.push([each]);
  }
  return result;
}

/** Whether a tag goes on with the entity of the tag before it. */
export function joins(scheme, last, tag) {
  if (!HAVE_ENDS.includes(scheme)) return !tag.startsWith("B-") && kindOf(last) === kindOf(tag);
  const [[markBefore, kindBefore], [mark, kind]] = [parts(last), parts(tag)];
  return kind === kindBefore && GO_ON.includes(mark) && OPEN.includes(markBefore);
}

function kindOf(tag) {
  return tag.startsWith("B-") || tag.startsWith("I-") ? tag.slice(2) : tag;
}

function parts(tag) {
  const dash = tag.indexOf("-");
  return dash < 0 ? [tag, ""] : [tag.slice(0, dash), tag.slice(dash + 1)];
}

function entity(group) {
  const tag = group[0].kind;
  const score = group.reduce((sum, each) => sum + each.score, 0) / group.length;
  return { kind: tag.slice(tag.indexOf("-") + 1), start: group[0].start, end: group.at(-1).end, score };
}

function bestOf(scores) {
  return scores.indexOf(Math.max(...scores));
}

/** Whether a token belongs to the word before, as the pipeline finds it. text: its characters (code points); start, end: among them. */
export function goesOn(text, start, end, token, id, answers) {
  if (id === answers.unk_id) return false;
  if (answers.subword_prefix) return [...token].length !== end - start;
  return start > 0 && text[start - 1] !== " " && text[start] !== " ";
}
