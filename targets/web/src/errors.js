/** A text, or another input, that the model cannot take. fix: the way out. */
export class BadInput extends Error {
  constructor(problem, fix) {
    super(`${problem} (${fix})`);
    Object.assign(this, { name: "BadInput", problem, fix });
  }
}
