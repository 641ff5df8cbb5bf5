// Computes the two-sided p value of McNemar's exact test from two counts, in integers until the last division.

function mcnemar(onlyFirst, onlySecond) {
  const n = onlyFirst + onlySecond;
  if (n === 0) return 1;
  let term = 1n, tail = 1n;
  for (let k = 1; k <= Math.min(onlyFirst, onlySecond); k += 1) {
    term = (term * BigInt(n - k + 1)) / BigInt(k);
    tail += term;
  }
  return Math.min(1, overPowerOfTwo(tail, n - 1));
}

// Returns value / 2^exponent, correctly rounded: keeps 64 leading bits, the last one set if a lower bit is lost.
function overPowerOfTwo(value, exponent) {
  const shift = Math.max(0, value.toString(16).length * 4 - 64);
  const head = value >> BigInt(shift);
  const lost = head << BigInt(shift) !== value ? 1n : 0n;
  return Number(head | lost) * 2 ** (shift - exponent);
}

function pText(p) {
  if (p < 0.0001) return "< 0.0001";
  return p.toFixed(4);
}
