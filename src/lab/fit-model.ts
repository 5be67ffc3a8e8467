/**
 * Fits a cost model to measured times: least squares of the logarithms, by Levenberg and Marquardt's method (D. Marquardt, "An
 * Algorithm for Least-Squares Estimation of Nonlinear Parameters", 1963). Every parameter is a factor on a first guess, so that
 * none becomes negative; one that the measurements say little about stays near the guess.
 */
import { levenbergMarquardt } from 'ml-levenberg-marquardt';
import type { Schedule } from '../schedule/schedule';
import type { CostModel, KernelCost, KernelKind } from '../simulate/cost-model';
import { drain } from '../simulate/engine';
import { kindsOf } from '../simulate/tile-costs';

/** One measurement. */
export interface Observation {
  readonly what: string;
  readonly schedule: Schedule;
  /** Launch to launch in a chain of them, ns. */
  readonly ns: number;
}

/** How well a model meets an observation. */
export interface Residual {
  readonly what: string;
  readonly measuredNs: number;
  readonly predictedNs: number;
}

export interface FittedModel {
  readonly model: CostModel;
  readonly residuals: readonly Residual[];
}

/** What a fit may change: a cost of a kernel, or a point of the saturation curve. */
type Parameter = { readonly kind: KernelKind; readonly name: keyof KernelCost } | { readonly drawn: number };

const DECODE_COSTS: readonly (keyof KernelCost)[] = [
  'launchNs',
  'prologueNs',
  'hiddenNs',
  'tileNs',
  'lastTileNs',
  'busyShare',
  'partialNs',
  'drawNs',
  'mergeNs',
  'mergeRowNs',
  'mergeBatchNs',
  'stepNs',
  'stepRowNs',
  'raggedShare',
];

const COSTS: Readonly<Record<KernelKind, readonly (keyof KernelCost)[]>> = {
  decode: DECODE_COSTS,
  decode16: DECODE_COSTS,
  decode32: DECODE_COSTS,
  prefill: [
    'tileNs',
    'partialNs',
    'drawNs',
    'mergeNs',
    'mergeRowNs',
    'mergeStateNs',
    'mergeBatchNs',
    'stepNs',
    'sharedRowNs',
  ],
};

/** Pull towards the guess: a factor of e weighs as much as this error of one measurement. */
const PRIOR = 0.01;
const ITERATIONS = 25;
/** Differences for the gradient, in logarithms; the simulation is piecewise smooth, so not too small. */
const DIFFERENCE = 0.01;

/**
 * @param guess where to start: a roofline estimate, or an earlier calibration
 * @param observations of all kernels; a kernel without any keeps its guess
 */
export function fitModel(guess: CostModel, observations: readonly Observation[]): FittedModel {
  const kinds = observations.map(({ schedule }) => kindsOf(schedule)[0]);
  let model = guess;
  for (const kind of ['decode', 'decode16', 'decode32', 'prefill'] as const) {
    const own = observations.filter((_, i) => kinds[i] === kind);
    if (own.length > 0) model = fitKernel(model, kind, own);
  }
  const residuals = observations.map(({ what, schedule, ns }) => ({
    what,
    measuredNs: ns,
    predictedNs: drain(schedule, model).periodNs,
  }));
  return { model, residuals };
}

function fitKernel(guess: CostModel, kind: KernelKind, observations: readonly Observation[]): CostModel {
  const parameters: Parameter[] = COSTS[kind]
    .filter((name) => guess.kernels[kind][name] > 0)
    .map((name) => ({ kind, name }));
  // Memory is the decode kernel's to measure: it is what waits for it. The first point is where everybody gets all.
  if (kind === 'decode') parameters.push(...guess.dram.drawnGbs.slice(1).map((_, i) => ({ drawn: i + 1 })));
  const size = parameters.length;
  const y = new Array<number>(observations.length + size).fill(0);
  const x = y.map((_, i) => i);
  const { parameterValues } = levenbergMarquardt(
    { x, y },
    (values: number[]) => {
      const model = withFactors(guess, parameters, values);
      return (i: number) => {
        if (i >= observations.length) return PRIOR * values[i - observations.length];
        const { schedule, ns } = observations[i];
        return Math.log(drain(schedule, model).periodNs / ns);
      };
    },
    {
      initialValues: new Array<number>(size).fill(0),
      minValues: new Array<number>(size).fill(-2),
      maxValues: new Array<number>(size).fill(2),
      gradientDifference: DIFFERENCE,
      maxIterations: ITERATIONS,
      errorTolerance: 1e-9,
      damping: 0.01,
    },
  );
  return withFactors(guess, parameters, parameterValues);
}

/** The guess, each parameter times e to its value. */
function withFactors(guess: CostModel, parameters: readonly Parameter[], values: readonly number[]): CostModel {
  const { decode, decode16, decode32, prefill } = guess.kernels;
  const kernels = {
    decode: { ...decode },
    decode16: { ...decode16 },
    decode32: { ...decode32 },
    prefill: { ...prefill },
  };
  const drawnGbs = [...guess.dram.drawnGbs];
  parameters.forEach((parameter, i) => {
    const factor = Math.exp(values[i]);
    if ('drawn' in parameter) {
      drawnGbs[parameter.drawn] *= factor;
    } else {
      const costs = kernels[parameter.kind] as Record<string, number>;
      costs[parameter.name] *= factor;
      // A tile of the prefill kernel ends the same way, whatever follows.
      if (parameter.kind === 'prefill' && parameter.name === 'tileNs') costs.lastTileNs *= factor;
    }
  });
  return { ...guess, kernels, dram: { ...guess.dram, drawnGbs } };
}
