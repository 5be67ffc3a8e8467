/**
 * Ways to live with CUDA graphs, side by side: each runs the same decode steps of a request trace over the same model, is timed, and
 * has its outputs compared with the others' and with a float64 reference.
 */
import type { Device } from '../device/device';
import { defaultDevice } from '../device/device';
import { type ErrorCode, requireInteger, WarpbookError } from '../errors';
import type { StepCapacity } from '../strategy/batch';
import { GraphPoolStrategy } from '../strategy/graph-pool';
import { DecodeModel, type DecodeModelOptions } from '../strategy/model';
import { PrefillLane } from '../strategy/prefill-lane';
import { type StrategyName, strategies } from '../strategy/strategies';
import type { CaptureReport, Strategy } from '../strategy/strategy';
import type { RequestTrace } from '../workload/request-trace';
import type { DecodeLoopOptions } from './decode-loop';
import { DecodeLoop } from './decode-loop';
import { type KnownOutputs, OutputCheck } from './output-check';
import { LabWork } from './progress';
import { type ModelFacts, type SkippedStrategy, StrategyComparison, type StrategyResult } from './strategy-comparison';
import { type HeldStep, type RunSettings, runHeld, runWaiting, type StepRecord, withHeld } from './strategy-run';

/** A strategy by its name, or made by you for the model. */
export type StrategyChoice = StrategyName | ((model: DecodeModel) => Strategy);

/** Options of {@link compareStrategies}. */
export interface CompareStrategiesOptions extends DecodeLoopOptions {
  /** In this order; the outputs of the first are what the others' are compared with. Default: all that the device has. */
  readonly strategies?: readonly StrategyChoice[];
  readonly trace: RequestTrace;
  /** Decode steps. */
  readonly steps: number;
  /** Default: `defaultDevice()`. */
  readonly device?: Device;
  /** What is decoded with; see {@link DecodeModelOptions}. */
  readonly model?: Omit<DecodeModelOptions, 'device'>;
  /** What strategies are captured for; default: the model's most. */
  readonly capacity?: StepCapacity;
  /** A step beyond the capacity: throw (default), or run it with `eager`, counted as a fallback. */
  readonly whenRefused?: 'throw' | 'eager';
  /** Outputs are compared every so many steps, and ahead of each change of the batch; 0: never. Default 8. */
  readonly checkEvery?: number;
  /** Steps that the float64 reference checks; default three, spread over the run. */
  readonly referenceSteps?: readonly number[];
  /** Measure device time, in two passes more; default true. */
  readonly deviceTime?: boolean;
}

/** Strategies that only show what goes wrong. */
const NOT_BY_DEFAULT: readonly string[] = ['frozen'];

/**
 * Runs the comparison. A strategy that the device or its driver lacks, or that finds no memory to be captured in, is left out with
 * the reason, unless it is the only one.
 *
 * @throws WarpbookError INVALID_ARGUMENT; CAPACITY_EXCEEDED for a step beyond the capacity, unless `whenRefused` is 'eager';
 * UNSUPPORTED where no strategy could run; DEVICE_LAUNCH, OUT_OF_MEMORY, OUT_OF_PAGES
 */
export async function compareStrategies(options: CompareStrategiesOptions): Promise<StrategyComparison> {
  const { trace, steps, device = defaultDevice(), checkEvery = 8 } = options;
  requireInteger('steps', steps, 1);
  requireInteger('checkEvery', checkEvery, 0);
  const chosen = options.strategies ?? namesFor();
  if (chosen.length === 0)
    throw new WarpbookError('INVALID_ARGUMENT', 'strategies is empty; wanted one or more, or leave it out for all.');
  if (options.whenRefused !== undefined && !['throw', 'eager'].includes(options.whenRefused)) {
    throw new WarpbookError('INVALID_ARGUMENT', `whenRefused is '${options.whenRefused}'; wanted 'throw' or 'eager'.`);
  }
  const model = await DecodeModel.create({ device, ...options.model });
  const made: { dispose(): void }[] = [model];
  let work: LabWork | undefined;
  try {
    const capacity = options.capacity ?? { maxBatch: model.maxBatch, maxKvLen: model.maxKvLen };
    const lane = options.chunkTokens === undefined ? undefined : await PrefillLane.create(model, options.chunkTokens);
    if (lane) made.push(lane);
    const substitute = options.whenRefused === 'eager' ? strategies.eager(model) : undefined;
    await substitute?.capture({ maxBatch: model.maxBatch, maxKvLen: model.maxKvLen });
    if (substitute) made.push(substitute);
    const loop: DecodeLoopOptions = options;
    const settings: RunSettings = { model, trace, steps, loop, lane, substitute };
    const skippedRequests = countSkipped(settings);
    const referenceSteps = options.referenceSteps ?? [...new Set([0, Math.floor(steps / 2), steps - 1])];
    const known: KnownOutputs = new Map();
    const entries: Entry[] = [];
    const skipped: SkippedStrategy[] = [];
    let refusal: WarpbookError | undefined;
    const deviceTime = options.deviceTime ?? true;
    work = new LabWork('strategies', deviceTime ? 2 * chosen.length : chosen.length);
    for (const choice of chosen) {
      const strategy = typeof choice === 'string' ? byName(choice, model) : choice(model);
      made.push(strategy);
      work.step(strategy.name);
      const captured = await captureOrSkip(strategy, capacity);
      if (captured instanceof WarpbookError) {
        refusal = captured;
        skipped.push({ name: strategy.name, reason: captured.message });
        strategy.dispose();
        if (deviceTime) work.step(`${strategy.name} can't run here`);
        continue;
      }
      // First with the device held up: what is compiled late is compiled then.
      const held = deviceTime ? [await runHeld(strategy, settings)] : [];
      const check = new OutputCheck(model, { every: checkEvery, referenceSteps }, known, entries.length === 0);
      const records = await runWaiting(strategy, settings, (step, batch) => check.inspect(step, batch));
      entries.push({ strategy, captured, check, records, held });
    }
    // Once more from the last to the first, so that a device that gets warm, or its memory slow, is nobody's fault.
    for (const entry of [...entries].reverse()) {
      if (!deviceTime) break;
      work.step(entry.strategy.name);
      entry.held.push(await runHeld(entry.strategy, settings));
    }
    const results: StrategyResult[] = [];
    for (const { strategy, captured, check, records, held } of entries) {
      // Two of one name, as with other options, are told apart.
      const alike = results.filter(({ explanation }) => explanation.name === strategy.name).length;
      results.push({
        name: alike === 0 ? strategy.name : `${strategy.name} ${alike + 1}`,
        explanation: strategy.explain(),
        capture: captured,
        model: factsOf(model),
        memory: await strategy.memory(),
        records: withHeld(records, held),
        agreement: check.result(),
        ...(strategy instanceof GraphPoolStrategy && { pooled: strategy.pooled, evicted: strategy.evicted }),
      });
    }
    if (results.length === 0) {
      if (refusal?.code === 'OUT_OF_MEMORY') throw refusal;
      const reasons = skipped.map(({ reason }) => reason).join(' ');
      throw new WarpbookError('UNSUPPORTED', `None of the strategies runs on ${device.name}. ${reasons}`, { skipped });
    }
    return new StrategyComparison(
      device.description.name,
      String(model),
      trace.name,
      results,
      skipped,
      skippedRequests,
    );
  } finally {
    work?.finish();
    for (const thing of made.reverse()) thing.dispose();
  }
}

/** A strategy that has run, and what was seen. */
interface Entry {
  readonly strategy: Strategy;
  readonly captured: CaptureReport;
  readonly check: OutputCheck;
  readonly records: readonly StepRecord[];
  readonly held: HeldStep[][];
}

function factsOf({
  layers,
  numQoHeads,
  numKvHeads,
  headDim,
  dtype,
  pageSize,
  maxBatch,
  maxKvLen,
}: DecodeModel): ModelFacts {
  return { layers, numQoHeads, numKvHeads, headDim, dtype, pageSize, maxBatch, maxKvLen };
}

function namesFor(): StrategyName[] {
  return (Object.keys(strategies) as StrategyName[]).filter((name) => !NOT_BY_DEFAULT.includes(name));
}

function byName(name: StrategyName, model: DecodeModel): Strategy {
  if (Object.hasOwn(strategies, name)) return strategies[name](model);
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    `Got strategy '${String(name)}'; wanted one of ${Object.keys(strategies).join(', ')}, or a function that makes one.`,
  );
}

/** Reasons for which a strategy is left out, and the others are compared all the same. */
const LEFT_OUT_FOR: readonly ErrorCode[] = ['UNSUPPORTED', 'OUT_OF_MEMORY'];

/** What was captured, or why it can't be here. */
async function captureOrSkip(strategy: Strategy, capacity: StepCapacity) {
  try {
    return await strategy.capture(capacity);
  } catch (error) {
    if (error instanceof WarpbookError && LEFT_OUT_FOR.includes(error.code)) return error;
    throw error;
  }
}

/**
 * Requests that the loop leaves out, by walking through it once without a device.
 * @throws WarpbookError INVALID_ARGUMENT where there is no step at all
 */
function countSkipped({ model, trace, steps, loop }: RunSettings): number {
  const walk = new DecodeLoop(model, trace, loop);
  while (walk.steps < steps) {
    const batch = walk.next();
    if (!batch) break;
    walk.took(Math.min(batch.stepsAhead, steps - walk.steps));
  }
  if (walk.steps === 0) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `No step can be decoded: of the ${trace.length} requests of ${trace.name}, ${walk.skipped} are longer than maxKvLen = ${model.maxKvLen} ` +
        'tokens, and the others generate nothing. Make the model with a higher maxKvLen, or take another trace.',
    );
  }
  return walk.skipped;
}
