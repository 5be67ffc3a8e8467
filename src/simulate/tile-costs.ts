/**
 * What each tile and merge of a schedule costs under a model, worked out once ahead of the simulation: streams as the time that
 * they take where memory gives all that is asked for, and the demand that they are meanwhile.
 */
import type { TileClass } from '../schedule/machine';
import type { Schedule } from '../schedule/schedule';
import { TILE, TILE_STRIDE } from '../schedule/work-tile';
import { type CostModel, FEW_STATES, type KernelCost, type KernelKind, kernelKindOf, MANY_STATES } from './cost-model';
import { type WorkList, workListOf } from './work-list';

/** See the file head. Times are ns; where a tile's arithmetic bounds it, its stream is that time and its demand small. */
export interface TileCosts {
  readonly work: WorkList;
  /** Costs of each tile class. */
  readonly classes: readonly KernelCost[];
  /** float64 [numTiles]: stream where the CTA has its SM to itself, ns. */
  readonly streamNs: Float64Array;
  /** float64 [numTiles]: what memory is asked for where nobody has read the keys yet, bytes; those of the L2 at their share. */
  readonly coldBytes: Float64Array;
  /** float64 [numTiles]: and where somebody has. */
  readonly hotBytes: Float64Array;
  /** float64 [numTiles]: what the steps take beyond the stream: a step takes as long with few keys as with many. */
  readonly restNs: Float64Array;
  /** float64 [numTiles]: how many times longer its stream takes while CTAs share the SM. */
  readonly sharedRatio: Float64Array;
  /** float64 [numTiles]: what it takes that the next one is drawn from a queue, ns. */
  readonly drawNs: Float64Array;
  /**
   * How much slower a CTA draws keys at its best than one of the kernel that the saturation curve was measured with, 1 for that: what
   * memory gives depends on how many SMs ask. 1 for the prefill kernel too, which waits for memory at every step.
   */
  readonly slowness: number;
  /** Whether the last CTAs to arrive at a merge group share its rows: builds for more than 8 rows. */
  readonly sharesMerges: boolean;
  /** Time of a group's merge by so many CTAs, ns. */
  readonly mergeNs: (group: number, sharers: number) => number;
}

/** Steps of a tile of the prefill kernel from which on a draw is hidden (attention_prefill.cu). */
const DRAW_STEPS = 3;
/** Tokens of a step of the decode kernel. */
const DECODE_STEP_TOKENS = 128;

/** Costs of a schedule's items. */
export function tileCostsOf(schedule: Schedule, model: CostModel): TileCosts {
  const { machine, problem, tiles } = schedule;
  const work = workListOf(schedule);
  const kinds = kindsOf(schedule);
  const classes = kinds.map((kind) => model.kernels[kind]);
  const boundByMemory = kinds.map((kind) => kind !== 'prefill');
  const tokenBytes = 2 * problem.headDim * problem.kvElementBytes;
  const { numTiles } = work;
  const streamNs = new Float64Array(numTiles);
  const coldBytes = new Float64Array(numTiles);
  const hotBytes = new Float64Array(numTiles);
  const restNs = new Float64Array(numTiles);
  const sharedRatio = new Float64Array(numTiles);
  const drawNs = new Float64Array(numTiles);
  for (let t = 0, at = 0; t < numTiles; t++, at += TILE_STRIDE) {
    const index = tiles[at + TILE.tileClass];
    const cost = classes[index];
    const stepNs = cost.stepNs + cost.stepRowNs * tiles[at + TILE.rowCount];
    const stepsNs = work.steps[t] * stepNs;
    sharedRatio[t] = 1 + (cost.sharedRowNs * tiles[at + TILE.rowCount]) / stepNs;
    hotBytes[t] = work.bytes[t] / model.l2Speedup;
    coldBytes[t] = hotBytes[t] + work.bytes[t] * work.firstPass[t] * (1 - 1 / model.l2Speedup);
    // A decode step waits for its keys, so a stream is its bytes; what the last step lacks is latency.
    const stepBytes = machine.tileClasses[index].kvStep * tokenBytes;
    streamNs[t] = boundByMemory[index] ? Math.min(stepsNs, (coldBytes[t] / stepBytes) * stepNs) : stepsNs;
    // The prefill kernel knows what it has drawn in a tile's third step, and asks for its keys at the last one.
    drawNs[t] = boundByMemory[index] || work.steps[t] < DRAW_STEPS ? cost.drawNs : 0;
    restNs[t] = (stepsNs - streamNs[t]) * classes[index].raggedShare;
  }
  return {
    work,
    classes,
    streamNs,
    coldBytes,
    hotBytes,
    restNs,
    sharedRatio,
    drawNs,
    slowness: boundByMemory[0] ? slownessOf(machine.tileClasses[0], classes[0], model.kernels.decode) : 1,
    sharesMerges: kinds[0] === 'decode16' || kinds[0] === 'decode32',
    mergeNs: mergeTime(work, classes[0], Math.max(1, machine.tileClasses[0].threads / 32)),
  };
}

/** Steps of builds for more rows take longer; that for 32 rows has half as many tokens in one. */
function slownessOf({ kvStep }: TileClass, cost: KernelCost, decode: KernelCost): number {
  return cost === decode ? 1 : (cost.stepNs / decode.stepNs) * (DECODE_STEP_TOKENS / kvStep);
}

/** The kernel of each tile class. Offline a machine's class may take more rows than there are: a wrapper would have a smaller build. */
export function kindsOf({ machine, tiles, numTiles }: Schedule): KernelKind[] {
  const rows = machine.tileClasses.map(() => 1);
  for (let t = 0, at = 0; t < numTiles; t++, at += TILE_STRIDE) {
    const index = tiles[at + TILE.tileClass];
    if (tiles[at + TILE.rowCount] > rows[index]) rows[index] = tiles[at + TILE.rowCount];
  }
  return machine.tileClasses.map((tileClass, i) => kernelKindOf(tileClass, rows[i]));
}

/** The rows of a group are dealt out to the CTAs that share it, and to their warps; each reads a row's states in batches where they are many. */
function mergeTime({ groupStates, groupArrivals }: WorkList, cost: KernelCost, warps: number): TileCosts['mergeNs'] {
  return (group, sharers) => {
    const states = groupArrivals[group];
    const rows = states > 0 ? Math.ceil(groupStates[group] / states / sharers) : 0;
    const batches = states > FEW_STATES ? Math.ceil(states / MANY_STATES) : 0;
    return (
      cost.mergeNs +
      rows * cost.mergeRowNs +
      rows * states * cost.mergeStateNs +
      Math.ceil(rows / warps) * batches * cost.mergeBatchNs
    );
  };
}
