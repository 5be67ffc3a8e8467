/** How predictions and cost models are shown: facts first, and whether they are measured or made up. */
import type { MimeBundle, RenderOptions } from '../renderers';
import type { CostModel, KernelKind } from '../simulate/cost-model';
import type { Prediction } from '../simulate/prediction';
import { formatBytes, formatDuration } from '../units';
import { Chart } from './chart';
import { cleanLabel } from './escape';
import { type Facts, factsBundle } from './facts';
import { table } from './table';
import { chartConfig, type VegaLiteSpec } from './vega-theme';

export function predictionBundle(prediction: Prediction, options: RenderOptions): MimeBundle {
  const { durationNs, makespanNs, bytes, gbps, model, calibrated } = prediction;
  const facts: Facts = [
    ['time', formatDuration(durationNs)],
    ['makespan', formatDuration(makespanNs)],
    ['keys and values', `${formatBytes(bytes)}, ${gbps.toPrecision(4)} GB/s`],
    ['model', calibrated ? model : `${model}: compare schedules by it, don't quote its times`],
  ];
  return factsBundle('Prediction', facts, [], options);
}

/** Recognises cost models, which are plain JSON. */
export function isCostModel(value: object): value is CostModel {
  return 'kernels' in value && 'dram' in value && 'kernelHash' in value && 'l2Speedup' in value;
}

export function costModelBundle(model: CostModel, options: RenderOptions): MimeBundle {
  const { kind, gpu, numSms, driver, kernelHash, date, fit, dram, kernels } = model;
  const facts: [string, string][] = [['of', `${gpu}, ${numSms} SMs${driver ? `, driver ${driver}` : ''}`]];
  if (kind === 'roofline') facts.push(['from', 'a data sheet: nothing was measured']);
  else facts.push(['from', `measurements of ${date}, kernels ${kernelHash}`]);
  if (fit)
    facts.push([
      'fit',
      `${fit.measurements} measurements within ${fit.meanPct} % in the mean, ${fit.worstPct} % at worst`,
    ]);
  const most = dram.drawnGbs[dram.drawnGbs.length - 1];
  facts.push(['memory', `${most.toPrecision(4)} GB/s where all CTAs stream`]);
  const names = Object.keys(kernels.decode) as (keyof typeof kernels.decode)[];
  const costs = table(
    names.map((cost) => ({
      cost,
      decode: roundCost(kernels, 'decode', cost),
      '16 rows': roundCost(kernels, 'decode16', cost),
      '32 rows': roundCost(kernels, 'decode32', cost),
      prefill: roundCost(kernels, 'prefill', cost),
    })),
  );
  return factsBundle(cleanLabel(model.name), facts, [costs], options);
}

function roundCost(
  kernels: CostModel['kernels'],
  kind: KernelKind,
  cost: keyof CostModel['kernels']['decode'],
): number {
  return Number(kernels[kind][cost].toPrecision(4));
}

/** The saturation curve of a model as a chart: what memory gives of what is asked for. */
export function saturationChart({ name, dram: { demandGbs, drawnGbs } }: CostModel): Chart {
  const values = [{ asked: 0, drawn: 0 }, ...demandGbs.map((asked, i) => ({ asked, drawn: drawnGbs[i] }))];
  const spec: VegaLiteSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    title: { text: 'What memory gives', subtitle: cleanLabel(name) },
    width: 420,
    height: 220,
    data: { values },
    mark: { type: 'line', point: true, color: '#0072b2' },
    encoding: {
      x: { field: 'asked', type: 'quantitative', axis: { title: 'asked for, GB/s' } },
      y: { field: 'drawn', type: 'quantitative', axis: { title: 'drawn, GB/s' } },
    },
    ...chartConfig(),
  };
  const last = values[values.length - 1];
  return new Chart(spec, `memory: ${last.drawn.toFixed(0)} GB/s of ${last.asked.toFixed(0)} asked for`);
}
