import { describe, expect, it } from 'vitest';
import { saturationChart } from '../../../src/display/prediction-display';
import { registerDisplays } from '../../../src/display/register';
import { renderBundle } from '../../../src/renderers';
import { machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import { rooflineModel } from '../../../src/simulate/roofline';
import { predict } from '../../../src/simulate/simulate';

async function textOf(value: unknown): Promise<string> {
  registerDisplays();
  return (await renderBundle(value))?.['text/plain'] as string;
}

const estimate = rooflineModel(machines.a100);
const calibrated = {
  ...estimate,
  name: 'A100 <b>mine</b>',
  kind: 'calibrated' as const,
  driver: '580.1',
  kernelHash: 'abc',
  date: '2026-11-27',
  fit: { measurements: 30, meanPct: 2.5, worstPct: 9 },
};

describe('predictions', () => {
  const problem = makeProblem({ kvLens: [4096], numQoHeads: 32, numKvHeads: 8, headDim: 128 });
  const schedule = policies.headGroups(problem, machines.a100);

  it('by an estimate say that they are none to quote', async () => {
    expect(await textOf(predict(schedule))).toMatch(/roofline estimate for A100 SXM \(not calibrated\): .*don't quote/);
  });

  it('by a calibration name it', async () => {
    const text = await textOf(predict(schedule, calibrated));
    expect(text).toContain('A100 <b>mine</b>');
    expect(text).not.toContain('quote');
    expect(text).toMatch(/GB\/s/);
  });
});

describe('cost models', () => {
  it('say what they are of and how well they fit', async () => {
    const text = await textOf(calibrated);
    expect(text).toMatch(/driver 580.1/);
    expect(text).toMatch(/measurements of 2026-11-27, kernels abc/);
    expect(text).toMatch(/30 measurements within 2.5 %/);
    expect(text).toMatch(/stepNs/);
    expect((await renderBundle(calibrated))?.['text/html']).toContain('&lt;b&gt;mine');
  });

  it('that are estimates say so', async () => {
    expect(await textOf(estimate)).toMatch(/a data sheet: nothing was measured/);
  });

  it('draw how memory saturates', () => {
    expect(saturationChart(estimate).toText()).toMatch(/GB\/s of \d+ asked for/);
  });
});
