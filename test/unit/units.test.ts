import { expect, it } from 'vitest';
import { ceilDiv, formatBytes, formatCount, formatDuration, roundUp } from '../../src/units';

it.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.00 KiB'],
  [1536, '1.50 KiB'],
  [15 * 1024, '15.0 KiB'],
  [200 * 2 ** 20, '200 MiB'],
  [80 * 2 ** 30, '80.0 GiB'],
  [5000 * 2 ** 40, '5000 TiB'],
  [-2048, '-2.00 KiB'],
])('formatBytes(%d)', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

it.each([
  [0, '0 ns'],
  [830, '830 ns'],
  [12_300, '12.3 µs'],
  [4_560_000, '4.56 ms'],
  [1.2e9, '1.20 s'],
  [250e9, '250 s'],
  [-1500, '-1.50 µs'],
])('formatDuration(%d)', (ns, text) => {
  expect(formatDuration(ns)).toBe(text);
});

it('formats counts with separators, the same in every locale', () => {
  expect(formatCount(12345678)).toBe('12,345,678');
  expect(formatCount(999)).toBe('999');
});

it('rounds up', () => {
  expect([0, 1, 16, 17].map((value) => roundUp(value, 16))).toEqual([0, 16, 16, 32]);
  expect([0, 1, 16, 17].map((value) => ceilDiv(value, 16))).toEqual([0, 1, 1, 2]);
});
