/** Cycles of plan and replay on a real GPU: 100,000, or as many as WARPBOOK_CYCLES says. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { openDevice } from '../../src/attention/open-device';
import { soak, soakText } from '../support/soak';
import { deviceReference, loadReference } from './reference';

const CYCLES = Number(process.env.WARPBOOK_CYCLES ?? 100_000);
const CHECK_EVERY = 1009;

it(`nothing drifts in ${CYCLES} cycles of plan and replay`, async () => {
  const device = await openDevice('cuda');
  await loadReference(device);
  const options = { cycles: CYCLES, checkEvery: CHECK_EVERY, dtype: 'bfloat16', bound: 4e-3 } as const;
  const report = await soak(device, options, deviceReference);
  console.log(soakText(report));
  assert.equal(report.checked, Math.floor(CYCLES / CHECK_EVERY));
  device.dispose();
  assert.deepEqual(device.leaks, []);
});
