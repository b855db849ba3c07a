// Percentiles as numpy gives them: between two samples in proportion.

export function percentile(values, share) {
  const sorted = values.slice().sort((a, b) => a - b);
  const at = ((sorted.length - 1) * share) / 100;
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - below);
}

export function median(values) {
  return percentile(values, 50);
}
