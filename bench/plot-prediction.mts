/**
 * The residual plot of a prediction result: error against measured time, a point for each batch and policy.
 *
 *   npx tsx bench/plot-prediction.mts bench/results/h100/<date>-prediction.json docs/images/prediction-residuals.png
 */
import { readFileSync } from 'node:fs';
import { Chart } from '../dist/index.js';

const [, , resultPath, imagePath] = process.argv;
if (!resultPath || !imagePath) throw new Error('Got too few paths; wanted RESULT.json IMAGE.png.');
interface Row {
  kind: string;
  policies: Record<string, [measuredUs: number, predictedUs: number, errorPct: number]>;
}
const { rows, summaries, gpu } = JSON.parse(readFileSync(resultPath, 'utf8')) as {
  rows: Row[];
  gpu: string;
  summaries: Record<string, { mapePct: number; p95Pct: number; worstPct: number; batches: number }>;
};
const values = rows.flatMap(({ kind, policies }) =>
  Object.entries(policies).map(([policy, [us, , error]]) => ({ kind, policy, us, error })),
);
const subtitle = Object.entries(summaries).map(
  ([kind, { batches, mapePct, p95Pct, worstPct }]) =>
    `${kind}: ${batches} batches, mean error ${mapePct.toFixed(1)} %, 95 % within ${p95Pct.toFixed(1)} %, worst ${worstPct.toFixed(1)} %`,
);
const chart = new Chart(
  {
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    title: { text: `Predicted against measured kernel time, ${gpu}`, subtitle },
    data: { values },
    facet: { row: { field: 'kind', type: 'nominal', title: null } },
    spec: {
      width: 640,
      height: 220,
      layer: [
        {
          mark: { type: 'point', size: 14, opacity: 0.6, filled: true },
          encoding: {
            x: { field: 'us', type: 'quantitative', scale: { type: 'log' }, axis: { title: 'measured, µs' } },
            y: { field: 'error', type: 'quantitative', axis: { title: 'predicted − measured, %' } },
            color: { field: 'policy', type: 'nominal' },
          },
        },
        { data: { values: [{ y: 0 }] }, mark: { type: 'rule' }, encoding: { y: { field: 'y', type: 'quantitative' } } },
        {
          data: { values: [{ y: -13 }, { y: 13 }] },
          mark: { type: 'rule', strokeDash: [4, 4] },
          encoding: { y: { field: 'y', type: 'quantitative' } },
        },
      ],
    },
    resolve: { scale: { x: 'shared' } },
    config: { font: 'DejaVu Sans' },
  },
  'residuals of predictions',
);
await chart.save(imagePath);
console.log(`wrote ${imagePath}`);
