// A job that cannot be done as asked: goes home as {"error": {"problem", "fix"}} instead of a result.

const WAY_OUT = "check the pack with `edgepack verify`, and the runtime's version";

export class Refused extends Error {
  constructor(problem, fix) {
    super(problem);
    Object.assign(this, { problem, fix });
  }
}

export function errorOf(error) {
  const { problem = String(error?.message ?? error), fix = WAY_OUT } = error ?? {};
  return { error: { problem, fix } };
}
