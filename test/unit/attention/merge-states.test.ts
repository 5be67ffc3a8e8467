/**
 * Merging of states as ops, against attention over all keys at once in float64. In float32 with shards of very unequal LSE:
 * a wrong base of the logarithm would hide in bfloat16.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mergeState, mergeStateInPlace, mergeStates } from '../../../src/attention/merge-states';
import { referenceAttention } from '../../../src/attention/reference';
import { type Device, openDevice } from '../../../src/device/device';
import { capture } from '../../../src/graph/capture';
import { fromHost, full, zeros } from '../../../src/tensor/create';
import { normal } from '../../../src/tensor/random';
import type { Tensor } from '../../../src/tensor/tensor';
import { noise } from '../../support/noise';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu', { threads: 3 });
});
afterAll(() => device.dispose());

interface Shards {
  numTokens: number;
  numHeads: number;
  headDim: number;
  /** Keys of each shard; may be 0. */
  lens: readonly number[];
  /** Factor of the keys of each shard: how far their LSEs lie apart. */
  scales: readonly number[];
  sinks?: readonly number[];
}

interface State {
  output: Float64Array;
  lse: Float64Array;
}

/** Attention over each shard's keys alone, and over all of them. */
function attendShards({ numTokens, numHeads, headDim, lens, scales, sinks }: Shards): { parts: State[]; whole: State } {
  const row = numHeads * headDim;
  const q = noise(numTokens * row, 1);
  const shards = lens.map((length, i) => ({
    k: noise(length * row, 10 + i).map((x) => x * scales[i]),
    v: noise(length * row, 20 + i),
    length,
  }));
  const variant = {
    numQoHeads: numHeads,
    numKvHeads: numHeads,
    headDim,
    causal: false,
    windowLeft: -1,
    smScale: 1,
    logitsSoftCap: 0,
  };
  const attend = (k: Float32Array, v: Float32Array, length: number, withSinks?: readonly number[]): State =>
    referenceAttention({ q, k, v, qoIndptr: [0, numTokens], kvIndptr: [0, length], sinks: withSinks }, variant);
  const joined = (name: 'k' | 'v'): Float32Array => Float32Array.from(shards.flatMap((shard) => [...shard[name]]));
  const total = lens.reduce((sum, length) => sum + length, 0);
  return {
    parts: shards.map(({ k, v, length }) => attend(k, v, length)),
    whole: attend(joined('k'), joined('v'), total, sinks),
  };
}

type Dtype = 'float32' | 'float16' | 'bfloat16';

const outputOf = (state: State, s: Shards, dtype: Dtype = 'float32'): Tensor =>
  fromHost(Float32Array.from(state.output), { shape: [s.numTokens, s.numHeads, s.headDim], dtype, device });
const lseOf = (state: State, s: Shards): Tensor =>
  fromHost(Float32Array.from(state.lse), { shape: [s.numTokens, s.numHeads], device });

/** L2 error of an output, relative to `norm`; default: that of the output itself. */
async function errorOf(output: Tensor, want: Float64Array, norm: number = Math.hypot(...want)): Promise<number> {
  const got = (await output.data()) as Float32Array;
  return Math.hypot(...want.map((x, i) => x - got[i])) / (norm === 0 ? 1 : norm);
}

async function expectState(
  got: { output: Tensor; lse: Tensor },
  want: State,
  tolerance = 1e-6,
  norm?: number,
): Promise<void> {
  expect(await errorOf(got.output, want.output, norm), 'output').toBeLessThanOrEqual(tolerance);
  const lse = (await got.lse.data()) as Float32Array;
  want.lse.forEach((x, i) => {
    if (x === Number.NEGATIVE_INFINITY) expect(lse[i]).toBe(x);
    else expect(Math.abs(lse[i] - x), 'LSE').toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(x)));
  });
}

const shardsArbitrary: fc.Arbitrary<Shards> = fc
  .record({
    numTokens: fc.integer({ min: 0, max: 5 }),
    numHeads: fc.integer({ min: 1, max: 4 }),
    headDim: fc.constantFrom(1, 6, 24, 64, 300),
    shards: fc.array(fc.record({ length: fc.integer({ min: 0, max: 9 }), scale: fc.constantFrom(0.1, 1, 10) }), {
      minLength: 0,
      maxLength: 6,
    }),
    withSinks: fc.boolean(),
  })
  .map(({ shards, withSinks, ...rest }) => ({
    ...rest,
    lens: shards.map(({ length }) => length),
    // So that logits spread by about 30 in any head dim.
    scales: shards.map(({ scale }) => (scale * 3) / Math.sqrt(rest.headDim)),
    sinks: withSinks ? Array.from({ length: rest.numHeads }, (_, head) => 5 * head - 4) : undefined,
  }));

const SKEWED: Shards = { numTokens: 3, numHeads: 2, headDim: 64, lens: [40, 1, 7], scales: [0.05, 4, 1] };

describe('mergeStates', () => {
  test('is attention over all keys, for any number of states', async () => {
    await fc.assert(
      fc.asyncProperty(shardsArbitrary, async (s) => {
        const { parts, whole } = attendShards(s);
        const numStates = parts.length;
        // Written one behind the other, as shards would be; the op is given a view.
        const outputs = full([numStates, s.numTokens, s.numHeads, s.headDim], Number.NaN, { device });
        const lses = zeros([numStates, s.numTokens, s.numHeads], { device });
        parts.forEach((part, i) => {
          lses.select(0, i).copyFrom(lseOf(part, s));
          // Outputs of states without keys stay NaN: nobody may look at them.
          if (s.lens[i] > 0) outputs.select(0, i).copyFrom(outputOf(part, s));
        });
        const sinks = s.sinks && fromHost(Float32Array.from(s.sinks), { device });
        const states = { output: outputs.transpose(0, 1), lse: lses.transpose(0, 1) };
        // States may cancel out, and an LSE is rounded in proportion to its size: the error that this makes is one of weights.
        const seen = parts.filter((_, i) => s.lens[i] > 0);
        const norm = Math.max(...[whole, ...seen].map(({ output }) => Math.hypot(...output)));
        const largest = Math.max(0, ...seen.flatMap(({ lse }) => Array.from(lse, Math.abs)));
        await expectState(mergeStates(states, { sinks }), whole, 1e-6 + 2 ** -23 * largest, norm);
      }),
      { numRuns: 300 },
    );
  });

  test.each(['float16', 'bfloat16'] as const)('of %s states, into another dtype too', async (dtype) => {
    const { parts, whole } = attendShards(SKEWED);
    const states = { output: zeros([3, 3, 2, 64], { dtype, device }), lse: zeros([3, 3, 2], { device }) };
    parts.forEach((part, i) => {
      states.output.select(1, i).copyFrom(outputOf(part, SKEWED, dtype));
      states.lse.select(1, i).copyFrom(lseOf(part, SKEWED));
    });
    const tolerance = dtype === 'float16' ? 1e-3 : 8e-3;
    await expectState(mergeStates(states), whole, tolerance);
    const out = zeros([3, 2, 64], { device });
    const result = mergeStates(states, { out });
    expect(result.output).toBe(out);
    await expectState(result, whole, tolerance);
  });
});

describe('mergeState', () => {
  test('is exact where one side weighs nearly all, and symmetric', async () => {
    const s = { ...SKEWED, lens: [40, 9], scales: [0.05, 4] };
    const { parts, whole } = attendShards(s);
    const [a, b] = parts.map((part) => ({ output: outputOf(part, s), lse: lseOf(part, s) }));
    const spread = Math.max(...parts[1].lse.map((x, i) => x - parts[0].lse[i]));
    expect(spread).toBeGreaterThan(15);
    await expectState(mergeState(a, b), whole);
    await expectState(mergeState(b, a), whole);
  });

  test('a NaN shows', async () => {
    const one = { output: full([1, 1, 8], 1, { device }), lse: full([1, 1], 0, { device }) };
    for (const bad of [
      { ...one, lse: full([1, 1], Number.NaN, { device }) },
      { ...one, output: full([1, 1, 8], Number.NaN, { device }) },
    ]) {
      for (const [a, b] of [
        [one, bad],
        [bad, one],
        [bad, bad],
      ]) {
        expect(((await mergeState(a, b).output.data()) as Float32Array).every(Number.isNaN)).toBe(true);
      }
    }
  });

  test('in place it accumulates, in a graph too', async () => {
    const s = { ...SKEWED, lens: [40, 1, 7, 0], scales: [0.05, 4, 1, 1] };
    const { parts, whole } = attendShards(s);
    const [first, ...others] = parts.map((part) => ({ output: outputOf(part, s), lse: lseOf(part, s) }));
    const total = { output: zeros([3, 2, 64], { device }), lse: full([3, 2], Number.NEGATIVE_INFINITY, { device }) };
    const exec = capture(device, () => {
      total.lse.fill(Number.NEGATIVE_INFINITY);
      total.output.fill(Number.NaN);
      for (const other of [first, ...others]) mergeStateInPlace(total, other);
    }).instantiate();
    for (let i = 0; i < 2; i++) {
      exec.replay();
      await expectState(total, whole);
    }
    others[0].output.dispose();
    expect(() => exec.replay()).toThrow(expect.objectContaining({ code: 'GRAPH_STALE' }));
  });

  test('reads and writes views', async () => {
    const s = { ...SKEWED, lens: [40, 9], scales: [0.05, 4] };
    const { parts, whole } = attendShards(s);
    const wide = zeros([3, 5, 96], { device });
    const wideLse = zeros([3, 5], { device });
    const view = { output: wide.slice(1, 2, 4).slice(2, 8, 72), lse: wideLse.slice(1, 3) };
    view.output.copyFrom(outputOf(parts[0], s));
    view.lse.copyFrom(lseOf(parts[0], s));
    mergeStateInPlace(view, { output: outputOf(parts[1], s), lse: lseOf(parts[1], s) });
    await expectState({ output: view.output.contiguous(), lse: view.lse.contiguous() }, whole);
    view.output.fill(0);
    expect(((await wide.data()) as Float32Array).every((x) => x === 0)).toBe(true);
  });
});

describe('merging refuses', () => {
  const state = (shape: number[] = [2, 3, 8], dtype: Dtype = 'float32'): { output: Tensor; lse: Tensor } => ({
    output: normal(shape, { seed: 1, dtype, device }) as Tensor,
    lse: zeros(shape.slice(0, -1), { device }) as Tensor,
  });
  const coded = (code: string, message: string | RegExp): unknown =>
    expect.objectContaining({ code, message: expect.stringMatching(message) });

  test('shapes, dtypes and devices that do not fit', async () => {
    const good = state();
    expect(() => mergeState(good, state([2, 2, 8]))).toThrow(
      coded('SHAPE_MISMATCH', /b.output is .* in mergeState; wanted shape \[2, 3, 8\] with contiguous rows/),
    );
    expect(() => mergeState(good, state([2, 3, 8], 'float16'))).toThrow(coded('DTYPE_MISMATCH', 'the same for all'));
    expect(() => mergeState(good, { ...good, lse: zeros([3, 2], { device }) })).toThrow(
      coded('SHAPE_MISMATCH', /b.lse is .*; wanted float32 \[2, 3\]/),
    );
    expect(() => mergeStates(good)).toThrow(coded('SHAPE_MISMATCH', /\[numTokens, numStates, numHeads, headDim\]/));
    expect(() => mergeState(good, state(), { out: zeros([2, 3, 8], { dtype: 'int32', device }) })).toThrow(
      coded('SHAPE_MISMATCH', 'out is'),
    );
    expect(() => mergeState(good, state(), { sinks: zeros([2], { device }) })).toThrow(
      coded('SHAPE_MISMATCH', /sinks is .*; wanted float32 \[3\]/),
    );
    const other = await openDevice('cpu', { name: 'another' });
    const foreign = { output: zeros([2, 3, 8], { device: other }), lse: zeros([2, 3], { device: other }) };
    expect(() => mergeState(good, foreign)).toThrow(coded('DEVICE_MISMATCH', 'mergeState'));
    other.dispose();
    const gone = state();
    gone.lse.dispose();
    expect(() => mergeState(good, gone)).toThrow(coded('DISPOSED', 'mergeState'));
  });

  test('results over states, and allocation in a capture', () => {
    const [a, b] = [state(), state()];
    expect(() => mergeState(a, b, { out: b.output })).toThrow(coded('INVALID_ARGUMENT', 'Got a merge within buffer'));
    expect(() => mergeStateInPlace(a, a)).toThrow(coded('INVALID_ARGUMENT', 'overlap'));
    expect(() => capture(device, () => void mergeState(a, b))).toThrow(
      coded('CAPTURE_FORBIDDEN', 'make it before and pass'),
    );
  });
});
