/** Every policy's schedule, run on the CPU device and measured against the float64 reference. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { type AttentionCase, LSE_TOLERANCE, lseError, outputError, runCase, TOLERANCE } from '../../support/attention';
import { everyPolicy } from '../../support/policies';

const BATCHES: Readonly<Record<string, Pick<AttentionCase, 'kvLens' | 'qoLens' | 'causal'>>> = {
  decode: { kvLens: [0, 1, 17, 700, 64, 3000, 128] },
  prefill: { kvLens: [40, 300, 129], qoLens: [40, 70, 129], causal: true },
  mixed: { kvLens: [260, 900, 0, 33, 1500, 5], qoLens: [130, 1, 0, 1, 1, 4], causal: true },
};

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu');
});
afterAll(() => device.dispose());

describe.each(Object.entries(everyPolicy))('%s', (_name, policy) => {
  test.each(Object.entries(BATCHES))('a batch of %s', async (_kind, batch) => {
    const heads = { numQoHeads: 8, numKvHeads: 2, headDim: 64 };
    const c: AttentionCase = { ...heads, ...batch, pageSize: 16, dtype: 'float32', policy, seed: 5 };
    const outcome = await runCase(device, c);
    expect(outputError(outcome)).toBeLessThanOrEqual(TOLERANCE.float32);
    expect(lseError(outcome)).toBeLessThanOrEqual(LSE_TOLERANCE);
  });
});
