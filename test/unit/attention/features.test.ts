/** Attention's features one by one, and page lists with bad ids, on the CPU device; a GPU runs the same in test/device. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { LSE_TOLERANCE, lseError, outputError, runCase, TOLERANCE } from '../../support/attention';
import { FEATURE_BASE, FEATURES } from '../../support/attention-features';
import { registerBadPages } from '../../support/bad-pages';
import { registerSharedPrefix } from '../../support/shared-prefix';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu');
});
afterAll(() => {
  device.dispose();
  expect(device.leaks).toEqual([]);
});

describe('features', () => {
  for (const [name, changes] of FEATURES) {
    test(name, async () => {
      const wanted = { ...FEATURE_BASE, ...changes };
      const outcome = await runCase(device, wanted);
      expect(outputError(outcome)).toBeLessThanOrEqual(TOLERANCE[wanted.dtype ?? 'bfloat16']);
      expect(lseError(outcome)).toBeLessThanOrEqual(LSE_TOLERANCE);
    });
  }
});

describe('bad input', () => registerBadPages(test, () => device));

describe('schedules by hand', () => registerSharedPrefix(test, () => device));
