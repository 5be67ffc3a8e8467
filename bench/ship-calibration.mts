/**
 * Makes the model of a result of `warpbook bench prediction` the calibration that comes with warpbook.
 *
 *   npx tsx bench/ship-calibration.mts bench/results/h100/<date>-prediction.json
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [path] = process.argv.slice(2);
if (!path) throw new Error('Got no file; wanted a result of `warpbook bench prediction`.');
const { model } = JSON.parse(readFileSync(path, 'utf8'));
if (model?.kind !== 'calibrated') throw new Error(`${path} has no calibrated model.`);
const target = join(import.meta.dirname, '../src/simulate/calibrations/h100.json');
writeFileSync(target, `${JSON.stringify(model, undefined, 2)}\n`);
process.stdout.write(`${target}: ${model.name}, kernels ${model.kernelHash}; run npm run format\n`);
