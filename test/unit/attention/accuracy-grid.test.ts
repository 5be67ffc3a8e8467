/** The decode grid of the device tests on the CPU device, as far as the reference on the host gets in seconds. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { reference } from '../../../src/attention/reference';
import { type Device, openDevice } from '../../../src/device/device';
import { GRID, runGridPool } from '../../support/accuracy-grid';

let device: Device;
beforeAll(async () => {
  device = await openDevice('cpu');
});
afterAll(() => device.dispose());

/** The whole of it takes hours here; the GPU does it in test/device/accuracy.test.ts. */
const EXTENT = { batches: [12], kvLens: [54, 97] };

describe('the decode grid on the CPU device', () => {
  for (const dtype of GRID.dtypes) {
    for (const kvDtype of GRID.kvDtypes) {
      test(`${dtype} queries, ${kvDtype} keys`, async () => {
        for (const [i, headDim] of GRID.headDims.entries()) {
          const pageSize = GRID.pageSizes[i];
          const outcome = await runGridPool(device, { dtype, kvDtype, headDim, pageSize }, EXTENT, reference);
          expect(outcome.failures).toEqual([]);
          expect(outcome.cases).toBe(4);
          expect(outcome.output).toBeGreaterThan(1e-6);
        }
      });
    }
  }
});
