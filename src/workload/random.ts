/** A small seeded generator of random numbers, the same on every platform. Not for cryptography. */
import { requireInteger } from '../errors';

/** A stream of uniform numbers in [0, 1) with 32 random bits each. */
export type Random = () => number;

/**
 * Makes an independent stream for a seed and a purpose. It hashes a counter (splitmix32 with the constants of
 * murmur3's finalizer), so streams of neighbouring seeds have nothing to do with each other.
 * @param seed any integer from 0 to 2^32 − 1
 * @param purpose keeps streams of one seed apart: drawing more of one quantity doesn't shift the others
 */
export function makeRandom(seed: number, purpose: number = 0): Random {
  requireInteger('seed', seed, 0, 2 ** 32 - 1);
  let state = mix(mix(seed) ^ Math.imul(purpose + 1, 0x9e3779b9));
  return () => {
    state = (state + 0x9e3779b9) | 0;
    return (mix(state) >>> 0) / 2 ** 32;
  };
}

function mix(value: number): number {
  let z = value | 0;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return z ^ (z >>> 16);
}
