// Verdicts, one bit per example: the first example is the highest bit of the first byte.

function unpack(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

const both = (a, b) => a.map((byte, place) => byte & b[place]);
const only = (a, b) => a.map((byte, place) => byte & ~b[place]);

function ones(bytes) {
  let total = 0;
  for (let byte of bytes) for (; byte; byte &= byte - 1) total += 1;
  return total;
}
