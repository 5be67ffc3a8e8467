/**
 * The whole decode grid on a real GPU, every output row against float64 (reference.cu), and features one by one. Prints
 * the largest errors that it saw.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openDevice } from '../../src/attention/open-device';
import { reference } from '../../src/attention/reference';
import type { Device } from '../../src/device/device';
import { GRID, type GridOutcome, LSE_BOUND, outputBound, runGridPool } from '../support/accuracy-grid';
import { type AttentionCase, lseError, outputError, runCase } from '../support/attention';
import { FEATURE_BASE, FEATURES } from '../support/attention-features';
import { registerBadPages } from '../support/bad-pages';
import { registerSharedPrefix } from '../support/shared-prefix';
import { deviceReference, loadReference } from './reference';

let device: Device;
before(async () => {
  device = await openDevice('cuda');
  await loadReference(device);
});
after(() => {
  device.dispose();
  assert.deepEqual(device.leaks, []);
});

describe('the float64 reference on the GPU', () => {
  const CASES: readonly [string, Partial<AttentionCase>][] = [
    ['decode', {}],
    ['float16, HND, pages of 1', { dtype: 'float16', layout: 'HND', pageSize: 1 }],
    ['e4m3 with scales', { kvDtype: 'float8_e4m3fn', kScale: 0.5, vScale: 1.75, headDim: 64 }],
    ['e5m2', { kvDtype: 'float8_e5m2', headDim: 256, numQoHeads: 8 }],
    [
      'causal tokens, a window and a soft cap',
      { qoLens: [1, 1, 7, 16, 3, 4, 6, 0, 30, 5], causal: true, windowLeft: 40, logitsSoftCap: 30 },
    ],
  ];
  for (const [name, overrides] of CASES) {
    it(`agrees with the one on the host: ${name}`, async () => {
      const host = await runCase(device, { ...FEATURE_BASE, ...overrides }, reference);
      const here = await runCase(device, { ...FEATURE_BASE, ...overrides }, deviceReference);
      const outcome = {
        output: Float32Array.from(here.expected.output),
        lse: Float32Array.from(here.expected.lse),
        expected: host.expected,
      };
      const [output, lse] = [outputError(outcome), lseError(outcome)];
      assert.ok(output <= 1e-7 && lse <= 1e-7, `output ${output}, LSE ${lse}`);
    });
  }
});

/** All of it. */
const GRID_EXTENT = { batches: GRID.batches, kvLens: GRID.kvLens };

describe('the decode grid', () => {
  for (const dtype of GRID.dtypes) {
    for (const kvDtype of GRID.kvDtypes) {
      for (const headDim of GRID.headDims) {
        it(`${dtype} queries, ${kvDtype} keys, head_dim ${headDim}`, async () => {
          const began = process.hrtime.bigint();
          const outcomes: GridOutcome[] = [];
          for (const pageSize of GRID.pageSizes) {
            outcomes.push(
              await runGridPool(device, { dtype, kvDtype, headDim, pageSize }, GRID_EXTENT, deviceReference),
            );
          }
          const cases = outcomes.reduce((sum, outcome) => sum + outcome.cases, 0);
          const [output, lse] = (['output', 'lse'] as const).map((key) => Math.max(...outcomes.map((o) => o[key])));
          const seconds = Number(process.hrtime.bigint() - began) / 1e9;
          const bounds = `(bounds ${outputBound({ dtype, kvDtype })}, ${LSE_BOUND})`;
          console.log(
            `${dtype}, ${kvDtype} keys, head_dim ${headDim}: ${cases} cases, output ${output.toExponential(1)}, ` +
              `LSE ${lse.toExponential(1)} ${bounds}, ${seconds.toFixed(1)} s`,
          );
          assert.deepEqual(
            outcomes.flatMap(({ failures }) => failures),
            [],
          );
          assert.equal(cases, 90);
        });
      }
    }
  }
});

describe('features', () => {
  for (const [name, overrides] of FEATURES) {
    it(name, async () => {
      const wanted = { ...FEATURE_BASE, ...overrides };
      const outcome = await runCase(device, wanted, deviceReference);
      const [output, lse] = [outputError(outcome), lseError(outcome)];
      console.log(`${name}: output ${output.toExponential(1)}, LSE ${lse.toExponential(1)}`);
      const kvDtype = wanted.kvDtype ?? 'same';
      assert.ok(output <= outputBound({ dtype: wanted.dtype as 'float16', kvDtype }), `output ${output}`);
      assert.ok(lse <= LSE_BOUND, `LSE ${lse}`);
    });
  }
});

describe('bad input', () => registerBadPages(it, () => device));

describe('schedules by hand', () => registerSharedPrefix(it, () => device));
