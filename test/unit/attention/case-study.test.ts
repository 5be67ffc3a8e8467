/** The nine items of the case study on the CPU device; test/device/case-study.test.ts runs the same on a GPU. */
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type Device, openDevice } from '../../../src/device/device';
import { machines } from '../../../src/schedule/machine';
import { CaseStudy, registerCaseStudy } from '../../support/case-study';

let device: Device;
let study: CaseStudy;
beforeAll(async () => {
  device = await openDevice('cpu');
  study = await CaseStudy.create(device, { dtype: 'float32', bound: 2e-6, machine: machines.h100 });
});
afterAll(() => device.dispose());

describe('the nine items', () => registerCaseStudy(test, () => study));
