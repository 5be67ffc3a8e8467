/** 10,000 cycles of plan and replay on the CPU device (WARPBOOK_CYCLES says how many); a GPU does 100,000. */
import { expect, test } from 'vitest';
import { reference } from '../../../src/attention/reference';
import { openDevice } from '../../../src/device/device';
import { machines } from '../../../src/schedule/machine';
import { soak, soakText } from '../../support/soak';

const CYCLES = Number(process.env.WARPBOOK_CYCLES ?? 10_000);

test(`nothing drifts in ${CYCLES} cycles of plan and replay`, { timeout: 600_000 }, async () => {
  const device = await openDevice('cpu');
  const machine = { ...machines.h100, numSms: 16 };
  const options = { cycles: CYCLES, checkEvery: 1009, dtype: 'float32', bound: 2e-6, machine, maxKvLen: 300 } as const;
  const report = await soak(device, options, reference);
  console.log(soakText(report));
  expect(report.checked).toBe(Math.floor(CYCLES / 1009));
  device.dispose();
  expect(device.leaks).toEqual([]);
});
