/** The nine items of the case study on a real GPU; test/unit/attention/case-study.test.ts runs the same on the CPU. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openDevice } from '../../src/attention/open-device';
import type { Device } from '../../src/device/device';
import { CaseStudy, registerCaseStudy } from '../support/case-study';

let device: Device;
let study: CaseStudy;
before(async () => {
  device = await openDevice('cuda');
  study = await CaseStudy.create(device, { dtype: 'float16', bound: 1e-3 });
});
after(() => {
  study.dispose();
  device.dispose();
  assert.deepEqual(device.leaks, []);
});

describe('the nine items', () => registerCaseStudy(it, () => study));
