/** Graphs captured with one page a request, replayed on anything, on a real GPU. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openDevice } from '../../src/attention/open-device';
import type { Device } from '../../src/device/device';
import { GraphCase, type GraphCaseOptions, registerGraphCases } from '../support/graph-cases';
import { deviceReference, loadReference } from './reference';

const OPTIONS: GraphCaseOptions = {
  numQoHeads: 32,
  numKvHeads: 8,
  headDim: 128,
  dtype: 'bfloat16',
  bound: 4e-3,
  fullLen: 4000,
  replays: 100,
};

let device: Device;
let graphs: GraphCase;
before(async () => {
  device = await openDevice('cuda');
  await loadReference(device);
  graphs = await GraphCase.create(device, OPTIONS, deviceReference);
});
after(() => {
  graphs.dispose();
  device.dispose();
  assert.deepEqual(device.leaks, []);
});

describe('graphs of decode and prefill', () => registerGraphCases(it, () => graphs, OPTIONS));
