// What can go wrong, each with what to do about it.

/** name: BadInput, Changed, Closed or ModuleError. problem: what is wrong; fix: the way out. */
export class ModuleError extends Error {
  constructor({ name, problem, fix }) {
    super(`${problem} (${fix})`);
    Object.assign(this, { name, problem, fix });
  }
}

/** A text, or another input, that the model cannot take. */
export class BadInput extends ModuleError {
  constructor(problem, fix) {
    super({ name: "BadInput", problem, fix });
  }
}

const AGAIN = "load the page anew; if it says so again, publish the module again";

/** A file is missing, or not the one that was shipped. Nothing was loaded. */
export class Changed extends ModuleError {
  constructor(problem, fix = AGAIN) {
    super({ name: "Changed", problem, fix });
  }
}
