/** A calibration as a table: what was measured, and how well the model meets it. */
import { type Table, table } from '../../display/table';
import type { Residual } from '../../lab/fit-model';
import { round } from './decode';

export function costTable(residuals: readonly Residual[]): Table {
  return table(
    residuals.map(({ what, measuredNs, predictedNs }) => ({
      measurement: what,
      'measured µs': round(measuredNs / 1e3),
      'model µs': round(predictedNs / 1e3),
      'off by %': Number(((predictedNs / measuredNs - 1) * 100).toFixed(1)),
    })),
  );
}
