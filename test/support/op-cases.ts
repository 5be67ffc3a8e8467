/**
 * What tensor, append and merge operations give, each as a run on any device: the same bits on all, but for merged states,
 * which a GPU merges in float32. The shapes are small and odd, for compute-sanitizer too.
 */
import { mergeState, mergeStateInPlace, mergeStates } from '../../src/attention/merge-states';
import { type KvLayout, PagedKvCache } from '../../src/attention/paged-kv';
import type { Device } from '../../src/device/device';
import { capture } from '../../src/graph/capture';
import { compareTensors } from '../../src/tensor/compare';
import { arange, fromHost, full, zeros } from '../../src/tensor/create';
import { randomBits } from '../../src/tensor/draw';
import { DTYPES, isFloat } from '../../src/tensor/dtype';
import { normal, uniform } from '../../src/tensor/random';
import { Tensor } from '../../src/tensor/tensor';

export interface OpCase {
  readonly name: string;
  /** Largest relative and absolute difference between devices; 0: the same bits. */
  readonly tolerance: number;
  /** Values to compare, tensor by tensor. */
  run(device: Device): Promise<ArrayLike<number | bigint>[]>;
}

const ints = (device: Device, ...values: number[]): Tensor => fromHost(Int32Array.from(values), { device });

/** Runs `make`, whose tensors it disposes, and reads them as bits (or values, where they may differ by rounding). */
async function results(make: () => Tensor[], exact = true): Promise<ArrayLike<number | bigint>[]> {
  const made = make();
  const values: ArrayLike<number | bigint>[] = [];
  for (const tensor of made) values.push(await (exact ? tensor.raw() : tensor.data()));
  for (const tensor of made) tensor.dispose();
  return values;
}

function* castCases(): Generator<OpCase> {
  const special = [0, -0, 1, -1, 0.1, 448, 449, 464, 465, 480, 1e-8, 6e-8, -2e-3, 65504, 65520, 7e4, 3e38, 255.7, NaN];
  for (const from of DTYPES) {
    yield {
      name: `${from} to every dtype, dense and strided`,
      tolerance: 0,
      run: (device) =>
        results(() => {
          const wide = fromHost(Float32Array.from([...special, Infinity, -Infinity]), { device });
          const drawn = normal([19, 33], { seed: 3, std: 100, device });
          const [dense, matrix] = [wide, drawn].map((tensor) => tensor.to(from));
          // Any bits: every exponent, both signs of NaN.
          const bits = randomBits([4096], { seed: 5n, counter: 0n, device });
          const any = isFloat(from)
            ? DTYPES.map((to) => Tensor.over(bits.buffer, { dtype: from, shape: [4093] }).to(to))
            : [];
          const copies = DTYPES.flatMap((to) => [dense.to(to), matrix.transpose(0, 1).slice(0, 1, 30).to(to)]);
          return [wide, drawn, dense, matrix, bits, ...any, ...copies];
        }),
    };
  }
}

/** A pool with two requests of scattered pages, tokens of which some have no place, and the pool's contents after. */
function appended(device: Device, layout: KvLayout, dtype: 'bfloat16' | 'float8_e4m3fn' | 'float8_e5m2'): Tensor[] {
  const scale = dtype === 'bfloat16' ? 1 : 0.3;
  const shape = { numPages: 9, pageSize: 5, numKvHeads: 3, headDim: 64 };
  const cache = new PagedKvCache({ ...shape, dtype, layout, kScale: scale, vScale: scale, device });
  for (const pool of [cache.k, cache.v]) pool.fill(0);
  const k = normal([8, 3, 64], { seed: 21, dtype: 'bfloat16', device });
  const v = normal([8, 3, 64], { seed: 22, dtype: 'bfloat16', device });
  const slots = fromHost(BigInt64Array.of(0n, 44n, -1n, 45n, 7n, 12n, 13n, 1000n), { device });
  cache.appendToSlots(slots, k, v);
  const places = {
    batchIndices: ints(device, 0, 2, 2, 2, 1, 3, -1, 0),
    positions: ints(device, 7, 0, 5, 14, 0, 0, 0, 10),
    pagedKvIndptr: ints(device, 0, 2, 2, 5),
    pagedKvIndices: ints(device, 8, 1, 0, 9, 4),
  };
  cache.appendAt(places, v, k);
  for (const tensor of [k, v, slots, ...Object.values(places)]) tensor.dispose();
  return [cache.k, cache.v];
}

function* appendCases(): Generator<OpCase> {
  for (const layout of ['NHD', 'HND'] as const) {
    for (const dtype of ['bfloat16', 'float8_e4m3fn', 'float8_e5m2'] as const) {
      yield {
        name: `append to slots and to positions, ${dtype} ${layout}`,
        tolerance: 0,
        run: (device) => results(() => appended(device, layout, dtype)),
      };
    }
  }
}

/** States of 11 tokens and 3 heads, one of them without keys and so without an output. */
function states(device: Device, numStates: number, headDim: number, dtype: 'float32' | 'bfloat16'): Tensor[] {
  const output = normal([11, numStates, 3, headDim], { seed: 31, dtype, device });
  const lse = normal([11, numStates, 3], { seed: 32, std: 8, device });
  output.select(1, numStates - 1).fill(Number.NaN);
  lse.select(1, numStates - 1).fill(Number.NEGATIVE_INFINITY);
  return [output as Tensor, lse as Tensor];
}

function* mergeCases(): Generator<OpCase> {
  for (const dtype of ['float32', 'bfloat16'] as const) {
    for (const [numStates, headDim] of [
      [1, 64],
      [2, 128],
      [37, 256],
      [3, 6],
    ]) {
      yield {
        name: `merge of ${numStates} ${dtype} states of ${headDim}`,
        tolerance: dtype === 'float32' ? 2e-6 : 2 ** -7,
        run: (device) =>
          results(() => {
            const [output, lse] = states(device, numStates, headDim, dtype);
            const sinks = fromHost(Float32Array.of(-2, Number.NEGATIVE_INFINITY, 9), { device });
            const many = mergeStates({ output, lse });
            const sunk = mergeStates({ output, lse }, { sinks });
            const [first, last] = [0, numStates - 1].map((i) => ({
              output: output.select(1, i).contiguous(),
              lse: lse.select(1, i).contiguous(),
            }));
            const two = mergeState(many, first);
            mergeStateInPlace(first, last);
            for (const tensor of [output, lse, sinks, last.output, last.lse]) tensor.dispose();
            return [many, sunk, two, first].flatMap((state) => [state.output, state.lse]);
          }, false),
      };
    }
  }
}

const OTHERS: readonly OpCase[] = [
  {
    name: 'fill and increment of views, eager and captured',
    tolerance: 0,
    run: (device) =>
      results(() =>
        DTYPES.map((dtype) => {
          const whole = zeros([7, 40, 9], { dtype, device }) as Tensor;
          const view = whole.slice(1, 3, 38).transpose(0, 2);
          const countable = dtype === 'int32' || dtype === 'int64';
          const graph = capture(device, () => {
            view.fill(1);
            if (countable) view.slice(0, 2, 5).increment(-7);
          });
          const exec = graph.instantiate();
          whole.fill(1);
          for (let i = 0; i < 3; i++) exec.replay();
          if (countable) whole.increment(2);
          for (const thing of [exec, graph]) thing.dispose();
          return whole;
        }),
      ),
  },
  {
    name: 'counting and random numbers of every dtype',
    tolerance: 0,
    run: (device) =>
      results(() => [
        ...DTYPES.filter((dtype) => dtype !== 'bool').map((dtype) =>
          arange(120, { dtype, start: isFloat(dtype) ? -20 : 0, step: isFloat(dtype) ? 0.3 : 1, device }),
        ),
        ...DTYPES.filter(isFloat).flatMap((dtype) => [
          uniform([5, 1001], { seed: 11n, low: -2, high: 3, dtype, device }) as Tensor,
          normal([4999], { seed: 2n ** 63n + 7n, mean: 0.5, std: 2, dtype, device }) as Tensor,
        ]),
      ]),
  },
  {
    name: 'comparison of views, with NaN and infinities',
    tolerance: 1e-12,
    async run(device) {
      const a = normal([300, 70], { seed: 41, device });
      const b = a.to('bfloat16');
      const strided = await compareTensors(a.transpose(0, 1).slice(0, 3), b.transpose(0, 1).slice(0, 3), {
        rtol: 1e-3,
      });
      b.select(0, 7).fill(Number.POSITIVE_INFINITY);
      a.select(0, 9).fill(Number.NaN);
      const odd = await compareTensors(a, b);
      for (const tensor of [a, b]) tensor.dispose();
      return [strided, odd].map((found) => [found.relativeError, found.maxAbsError, found.numMismatches]);
    },
  },
  {
    name: 'a loop on the device: append at positions that grow, in a graph',
    tolerance: 0,
    async run(device) {
      const cache = new PagedKvCache({ numPages: 32, pageSize: 4, numKvHeads: 2, headDim: 64, device });
      for (const pool of [cache.k, cache.v]) pool.fill(0);
      const requests = [cache.allocate(3), cache.allocate(0), cache.allocate(9)];
      for (const request of requests) cache.reserve(request, 40);
      const tables = cache.pageTable(requests).toTensors(device);
      const places = { ...tables, batchIndices: ints(device, 0, 1, 2), positions: ints(device, 3, 0, 9) };
      const k = full([3, 2, 64], 1, { dtype: 'bfloat16', device });
      const step = zeros([1], { dtype: 'int32', device });
      const graph = capture(device, () => {
        step.increment();
        k.slice(2, 0, 1).select(2, 0).select(1, 0).copyFrom(places.positions);
        cache.appendAt(places, k, k);
        places.positions.increment();
      });
      const exec = graph.instantiate();
      for (let i = 0; i < 31; i++) exec.replay();
      const values = [await cache.k.raw(), await cache.v.raw(), await places.positions.raw(), await step.raw()];
      for (const thing of [exec, graph, cache, k, step, ...Object.values(places)]) thing.dispose();
      return values;
    },
  },
];

export const OP_CASES: readonly OpCase[] = [...castCases(), ...appendCases(), ...mergeCases(), ...OTHERS];

/** Throws where a result of one device is not, within the case's tolerance, that of another. */
export function requireSame(
  { name, tolerance }: OpCase,
  got: readonly ArrayLike<number | bigint>[],
  wanted: readonly ArrayLike<number | bigint>[],
): void {
  for (const [t, want] of wanted.entries()) {
    for (let i = 0; i < want.length; i++) {
      const [x, y] = [got[t][i], want[i]];
      if (Object.is(x, y)) continue;
      const [a, b] = [Number(x), Number(y)];
      if (tolerance > 0 && Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b))) continue;
      throw new Error(`${name}: result ${t}, element ${i} is ${x}; wanted ${y}`);
    }
  }
}
