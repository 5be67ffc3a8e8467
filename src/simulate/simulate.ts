/** `simulate` and `predict`: what a schedule will do on a machine, as a Timeline or as a time. No device is asked. */
import type { Schedule } from '../schedule/schedule';
import { MERGE_GROUP, MERGE_GROUP_STRIDE, TILE, TILE_STRIDE } from '../schedule/work-tile';
import { Timeline } from '../timeline/timeline';
import { TRACE_PHASE } from '../timeline/trace-record';
import { type CostModel, requireModelFor } from './cost-model';
import { defaultModel } from './cost-models';
import { drain } from './engine';
import { Prediction } from './prediction';

/** Options of {@link simulate} and {@link predict}. */
export interface SimulateOptions {
  /** Take a model of another machine; default false: it is refused. */
  readonly allowMismatch?: boolean;
}

/**
 * The time that a schedule will take.
 * @param model default: the calibration of the schedule's machine that comes with warpbook, else a roofline estimate
 * @throws WarpbookError CALIBRATION_MISMATCH for a model of another machine
 */
export function predict(schedule: Schedule, model?: CostModel, options: SimulateOptions = {}): Prediction {
  const used = modelFor(schedule, model, options);
  return predictionOf(drain(schedule, used), used);
}

/**
 * The timeline that a schedule will have.
 * @param model as for {@link predict}
 * @throws WarpbookError CALIBRATION_MISMATCH for a model of another machine
 */
export function simulate(schedule: Schedule, model?: CostModel, options: SimulateOptions = {}): Timeline {
  return predictTimeline(schedule, model, options).timeline;
}

/** Both from one simulation: {@link predict} and {@link simulate}. */
export function predictTimeline(
  schedule: Schedule,
  model?: CostModel,
  options: SimulateOptions = {},
): { readonly prediction: Prediction; readonly timeline: Timeline } {
  const used = modelFor(schedule, model, options);
  const spans = new SpanColumns(schedule);
  const prediction = predictionOf(drain(schedule, used, spans.add), used);
  return { prediction, timeline: spans.timeline() };
}

function predictionOf(
  { makespanNs, periodNs, bytes, finishNs }: ReturnType<typeof drain>,
  model: CostModel,
): Prediction {
  const calibrated = model.kind === 'calibrated';
  return new Prediction({ durationNs: periodNs, makespanNs, bytes, finishNs, model: model.name, calibrated });
}

function modelFor(schedule: Schedule, model: CostModel | undefined, options: SimulateOptions): CostModel {
  const { machine } = schedule;
  if (!model) return defaultModel(machine);
  requireModelFor(model, { gpu: machine.name, numSms: machine.numSms }, options);
  return model;
}

class SpanColumns {
  private count = 0;
  private readonly size: number;
  private readonly cta: Int32Array;
  private readonly sm: Int32Array;
  private readonly item: Int32Array;
  private readonly phase: Uint8Array;
  private readonly startNs: Float64Array;
  private readonly endNs: Float64Array;

  constructor(private readonly schedule: Schedule) {
    this.size = schedule.numTiles + schedule.numMergeGroups;
    this.cta = new Int32Array(this.size);
    this.sm = new Int32Array(this.size);
    this.item = new Int32Array(this.size);
    this.phase = new Uint8Array(this.size);
    this.startNs = new Float64Array(this.size);
    this.endNs = new Float64Array(this.size);
  }

  readonly add = (
    phase: 'tile' | 'merge',
    cta: number,
    sm: number,
    item: number,
    startNs: number,
    endNs: number,
  ): void => {
    const i = this.count++;
    this.cta[i] = cta;
    this.sm[i] = sm;
    this.item[i] = item;
    this.phase[i] = TRACE_PHASE[phase];
    this.startNs[i] = startNs;
    this.endNs[i] = endNs;
  };

  /** As a measured timeline has it: times count from the first start. */
  timeline(): Timeline {
    const { schedule, count } = this;
    const { tiles, mergeGroups, problem } = schedule;
    let origin = Number.POSITIVE_INFINITY;
    for (let i = 0; i < count; i++) if (this.startNs[i] < origin) origin = this.startNs[i];
    const request = new Int32Array(count).fill(-1);
    const kvHead = new Int32Array(count).fill(-1);
    const kvTokens = new Int32Array(count);
    const partial = new Uint8Array(count);
    const mergeGroup = new Int32Array(count).fill(-1);
    const mergeGroupCount = new Int32Array(count);
    const startNs = this.startNs.subarray(0, count);
    const endNs = this.endNs.subarray(0, count);
    for (let i = 0; i < count; i++) {
      startNs[i] -= origin;
      endNs[i] -= origin;
      if (this.phase[i] === TRACE_PHASE.tile) {
        const at = this.item[i] * TILE_STRIDE;
        request[i] = tiles[at + TILE.request];
        kvHead[i] = tiles[at + TILE.kvHead];
        kvTokens[i] = tiles[at + TILE.kvEnd] - tiles[at + TILE.kvStart];
        partial[i] = tiles[at + TILE.partialSlot] >= 0 ? 1 : 0;
        mergeGroup[i] = tiles[at + TILE.mergeGroup];
        mergeGroupCount[i] = tiles[at + TILE.mergeGroupCount];
      } else {
        const at = this.item[i] * MERGE_GROUP_STRIDE;
        kvHead[i] = mergeGroups[at + MERGE_GROUP.kvHead];
        const token = Math.floor(mergeGroups[at + MERGE_GROUP.rowStart] / problem.groupSize);
        let r = 0;
        while (r + 1 < problem.batchSize && token >= problem.qoIndptr[r + 1]) r++;
        request[i] = r;
      }
    }
    return new Timeline('simulated', schedule.numCtas, {
      cta: this.cta.subarray(0, count),
      sm: this.sm.subarray(0, count),
      item: this.item.subarray(0, count),
      phase: this.phase.subarray(0, count),
      startNs,
      endNs,
      request,
      kvHead,
      kvTokens,
      partial,
      mergeGroup,
      mergeGroupCount,
    });
  }
}

/**
 * A scorer for policies that choose among several schedules: the predicted time, ns; less is better.
 * @param model as for {@link predict}
 */
export function predictedCost(model?: CostModel): (schedule: Schedule) => number {
  return (schedule) => predict(schedule, model).durationNs;
}
