/** Ragged keys and values beyond the plain case: quantised with scales, and as views. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BatchPrefill } from '../../../src/attention/batch-prefill';
import { referenceAttention } from '../../../src/attention/reference';
import { type Device, openDevice } from '../../../src/device/device';
import { normal } from '../../../src/tensor/random';
import type { Tensor } from '../../../src/tensor/tensor';

const heads = { numQoHeads: 4, numKvHeads: 2, headDim: 64 };
let device: Device;
let prefill: BatchPrefill;
let q: Tensor;
beforeAll(async () => {
  device = await openDevice('cpu');
  const capacity = { maxBatch: 2, maxQoTokens: 40 };
  const variant = { ...heads, dtype: 'float32', kvDtype: 'float8_e4m3fn' } as const;
  prefill = await BatchPrefill.create({ ...variant, device, kv: 'ragged', capacity });
  q = normal([40, heads.numQoHeads, heads.headDim], { seed: 3, device });
});
afterAll(() => device.dispose());

test('float8 keys and values count with their scales', async () => {
  // Keys and values of one tensor, as a projection would leave them.
  const kv = normal([90, 2, heads.numKvHeads, heads.headDim], { seed: 1, dtype: 'float8_e4m3fn', device });
  const [k, v] = [kv.select(1, 0), kv.select(1, 1)];
  const [kScale, vScale] = [0.5, 1.75];
  prefill.plan([30, 10], [50, 40]);
  const { output, lse } = prefill.run(q, { k, v, kScale, vScale });
  const dequantised = async (tensor: Tensor, scale: number): Promise<Float32Array> =>
    ((await tensor.data()) as Float32Array).map((x) => x * scale);
  const want = referenceAttention(
    {
      q: (await q.data()) as Float32Array,
      k: await dequantised(k, kScale),
      v: await dequantised(v, vScale),
      qoIndptr: [0, 30, 40],
      kvIndptr: [0, 50, 90],
    },
    prefill.variant,
  );
  const [got, gotLse] = (await Promise.all([output.data(), lse.data()])) as [Float32Array, Float32Array];
  expect(Math.max(...want.output.map((x, i) => Math.abs(x - got[i])))).toBeLessThan(1e-5);
  expect(Math.max(...want.lse.map((x, i) => Math.abs(x - gotLse[i])))).toBeLessThan(1e-5);
});

test('refuses a scale that nothing can be divided by', () => {
  const k = normal([90, heads.numKvHeads, heads.headDim], { seed: 1, dtype: 'float8_e4m3fn', device });
  prefill.plan([30, 10], [50, 40]);
  for (const vScale of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => prefill.run(q, { k, v: k, vScale })).toThrow(`vScale is ${vScale}; wanted a positive number.`);
  }
});
