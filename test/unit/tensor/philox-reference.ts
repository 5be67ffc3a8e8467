/** Philox4x32-10 and the draws made of it, written from the published description in plain arithmetic of big integers. */

const MASK = 2n ** 32n - 1n;

export function philox(counter: bigint, key: bigint): number[] {
  let c = [0n, 32n, 64n, 96n].map((shift) => (counter >> shift) & MASK);
  let k = [key & MASK, (key >> 32n) & MASK];
  for (let round = 0; round < 10; round++) {
    const even = 0xd2511f53n * c[0];
    const odd = 0xcd9e8d57n * c[2];
    c = [(odd >> 32n) ^ c[1] ^ k[0], odd & MASK, (even >> 32n) ^ c[3] ^ k[1], even & MASK];
    k = [(k[0] + 0x9e3779b9n) & MASK, (k[1] + 0xbb67ae85n) & MASK];
  }
  return c.map(Number);
}

export function words(count: number, seed: bigint): number[] {
  const drawn: number[] = [];
  for (let block = 0n; drawn.length < count; block++) drawn.push(...philox(block, seed));
  return drawn.slice(0, count);
}

/** low + u · (high − low) in float32, one rounding an operation; `below` is the float32 below high. */
export function uniformReference(count: number, seed: bigint, low: number, high: number, below: number): Float32Array {
  return Float32Array.from(words(count, seed), (word) => {
    const unit = Math.floor(word / 256) / 2 ** 24;
    return Math.min(Math.fround(low + Math.fround(unit * Math.fround(high - low))), below);
  });
}

/** Box and Muller's formula in float64, not rounded. */
export function normalReference(count: number, seed: bigint): Float64Array {
  const drawn = words(Math.ceil(count / 2) * 2, seed);
  return Float64Array.from({ length: count }, (_, i) => {
    const first = i - (i % 2);
    const radius = Math.sqrt(-2 * Math.log((Math.floor(drawn[first] / 256) + 1) / 2 ** 24));
    const angle = 2 * Math.PI * (Math.floor(drawn[first + 1] / 256) / 2 ** 24);
    return radius * (i % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
  });
}
