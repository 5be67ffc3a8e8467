import { beforeAll, expect, test } from 'vitest';
import { registerDisplays } from '../../../src/display/register';
import { renderBundle } from '../../../src/renderers';
import { ScheduleBuilder } from '../../../src/schedule/builder';
import { machines } from '../../../src/schedule/machine';
import { PolicyError } from '../../../src/schedule/policy-error';
import { makeProblem } from '../../../src/schedule/problem';
import { runPolicy } from '../../../src/schedule/run-policy';

beforeAll(() => registerDisplays());

test("a policy's mistake is shown as a chart of the request's keys and the tiles around", async () => {
  const problem = makeProblem({ kvLens: [60_000], numQoHeads: 1, numKvHeads: 1, headDim: 64 });
  let error: unknown;
  try {
    runPolicy(
      (p, m) => {
        const builder = new ScheduleBuilder('short', p, m);
        builder.forEachQueryTile((tile) => builder.splitByChunk({ ...tile, kvEnd: 59_000 }, 1000));
        return builder.build();
      },
      problem,
      machines.h100,
    );
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(PolicyError);
  const bundle = await renderBundle(error);
  const spec = bundle?.['application/vnd.vegalite.v5+json'] as {
    title: { text: string[] };
    data: { values: { lane: string; kind: string; start: number; end: number }[] };
  };
  expect(spec.title.text.join(' ')).toBe((error as PolicyError).summary);
  const bars = spec.data.values;
  expect(bars[0]).toMatchObject({ lane: 'keys', start: 0, end: 60_000 });
  expect(bars[1]).toMatchObject({ kind: 'at fault', start: 59_000, end: 60_000 });
  // Of 59 tiles, the 24 that are nearest.
  expect(bars.length).toBe(2 + 24);
  expect(bars[bars.length - 1]).toMatchObject({ start: 58_000, end: 59_000 });
  expect(bundle?.['text/plain']).toBe((error as PolicyError).message);
  expect(bundle?.['image/png']).toMatch(/^iVBOR/);
  expect(Object.keys(error as PolicyError).sort()).toEqual(['code', 'details', 'name']);
});
