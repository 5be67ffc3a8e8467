/** Graphs captured with one page a request, replayed on anything, on the CPU device; test/device/attention-graphs.test.ts does it on a GPU. */
import { afterAll, beforeAll, describe, test } from 'vitest';
import { reference } from '../../../src/attention/reference';
import { type Device, openDevice } from '../../../src/device/device';
import { machines } from '../../../src/schedule/machine';
import { GraphCase, type GraphCaseOptions, registerGraphCases } from '../../support/graph-cases';

const OPTIONS: GraphCaseOptions = {
  numQoHeads: 2,
  numKvHeads: 1,
  headDim: 64,
  dtype: 'float32',
  bound: 2e-6,
  machine: machines.h100,
  fullLen: 700,
  replays: 100,
};

let device: Device;
let graphs: GraphCase;
beforeAll(async () => {
  device = await openDevice('cpu');
  graphs = await GraphCase.create(device, OPTIONS, reference);
});
afterAll(() => {
  graphs.dispose();
  device.dispose();
});

describe('graphs of decode and prefill', () => registerGraphCases(test, () => graphs, OPTIONS));
