import { describe, expect, it } from 'vitest';
import type { PageTable } from '../../../src/attention/page-table';
import type { StepBatch } from '../../../src/strategy/batch';
import { defaultSizes, dispatch, type PoolShape } from '../../../src/strategy/pool-dispatch';

const shape: PoolShape = { sizes: [1, 2, 4, 8], kvLens: [128, 1024], mode: 'full' };
const batchOf = (lengths: number[], more: Partial<StepBatch> = {}): StepBatch => ({
  kvLens: Int32Array.from(lengths),
  remaining: Int32Array.from(lengths, () => 1),
  stepsAhead: 1,
  ...more,
});

describe('the dispatcher of a graph pool', () => {
  it('takes the smallest graph that fits batch size and longest request', () => {
    expect(dispatch(batchOf([5, 100, 7]), shape)).toEqual({ mode: 'full', size: 4, kvLen: 128 });
    expect(dispatch(batchOf([5, 129, 7]), shape)).toEqual({ mode: 'full', size: 4, kvLen: 1024 });
    expect(dispatch(batchOf([]), shape)).toEqual({ mode: 'full', size: 1, kvLen: 128 });
  });

  it('takes piecewise graphs for a batch with a piece of a prompt in it, and where it is told so', () => {
    const chunk = { table: {} as PageTable, start: 0, tokens: 64 };
    expect(dispatch(batchOf([5, 6], { chunk }), shape)).toEqual({ mode: 'piecewise', size: 2 });
    expect(dispatch(batchOf([5000]), { ...shape, mode: 'piecewise' })).toEqual({ mode: 'piecewise', size: 1 });
  });

  it('takes none beyond its sizes and buckets, and says why', () => {
    expect(dispatch(batchOf(Array(9).fill(5)), shape)).toEqual({
      none: "9 requests are more than the largest graph's 8",
    });
    expect(dispatch(batchOf([1025]), shape)).toEqual({ none: "1025 tokens are more than the longest bucket's 1024" });
    expect(dispatch(batchOf([1]), { ...shape, mode: 'none' })).toEqual({ none: 'the pool was made without graphs' });
  });

  it("has vLLM's sizes by default", () => {
    expect(defaultSizes(32)).toEqual([1, 2, 4, 8, 16, 24, 32]);
    expect(defaultSizes(3)).toEqual([1, 2, 3]);
    expect(defaultSizes(1)).toEqual([1]);
  });
});
