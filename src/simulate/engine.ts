/**
 * The event simulation: CTAs on SMs drain a schedule's work list and share the memory's bandwidth.
 *
 * A fluid model. At any moment n CTAs stream keys; together they draw what the measured curve says of n, each the same share.
 * All streams advance alike, so one clock counts the bytes that a stream has been given since the start, and a stream ends when
 * that clock passes the mark that was set at its beginning: an event costs a few steps of a heap, however many streams there
 * are. Between its streams a CTA is in latencies (start, the end of a tile, merges), which are events of time.
 *
 * A tile whose arithmetic takes longer than its bytes at the present share is timed by its steps instead, and draws no bytes.
 */
import type { Schedule } from '../schedule/schedule';
import { TILE, TILE_STRIDE } from '../schedule/work-tile';
import { bandwidthAt, type CostModel, type KernelCost, kernelKindOf } from './cost-model';
import { EventHeap } from './event-heap';
import { type WorkList, workListOf } from './work-list';

/** Told of every span as it ends. */
export type SpanSink = (
  phase: 'tile' | 'merge',
  cta: number,
  sm: number,
  item: number,
  startNs: number,
  endNs: number,
) => void;

/** What a run of the engine gives besides spans. */
export interface Drained {
  /** From the release to the last CTA's end. */
  readonly makespanNs: number;
  /** Launch to launch in a graph. */
  readonly periodNs: number;
  readonly bytes: number;
  /** End of each CTA's last span; float64 [numCtas], 0 where it had none. */
  readonly finishNs: Float64Array;
}

const STATE = { streaming: 0, ending: 1, merging: 2 } as const;

/** Runs a schedule through a model. */
export function drain(schedule: Schedule, model: CostModel, sink?: SpanSink): Drained {
  return new Engine(schedule, model, sink).run();
}

class Engine {
  private readonly work: WorkList;
  private readonly numCtas: number;
  private readonly numSms: number;
  private readonly shares: Float64Array;
  private readonly timers: EventHeap;
  private readonly streams: EventHeap;
  private readonly state: Uint8Array;
  private readonly tile: Int32Array;
  private readonly tileStart: Float64Array;
  private readonly next: Int32Array;
  private readonly costs: KernelCost[];
  private readonly arrived: Int32Array;
  private readonly pending: number[][];
  private readonly merges: number[][];
  private readonly finish: Float64Array;
  private readonly residents: Int32Array;
  private queueHead: number;
  private now = 0;
  private served = 0;

  constructor(
    private readonly schedule: Schedule,
    private readonly model: CostModel,
    private readonly sink: SpanSink | undefined,
  ) {
    const { numCtas, machine } = schedule;
    this.work = workListOf(schedule);
    this.numCtas = numCtas;
    this.numSms = machine.numSms;
    this.shares = new Float64Array(numCtas + 1);
    for (let n = 1; n <= numCtas; n++) this.shares[n] = bandwidthAt(model.dram, n) / n;
    this.timers = new EventHeap(numCtas);
    this.streams = new EventHeap(numCtas);
    this.state = new Uint8Array(numCtas);
    this.tile = new Int32Array(numCtas).fill(-1);
    this.tileStart = new Float64Array(numCtas);
    this.next = schedule.ctaIndptr.slice(0, numCtas);
    this.costs = machine.tileClasses.map((tileClass) => model.kernels[kernelKindOf(tileClass)]);
    this.arrived = new Int32Array(this.work.groupArrivals.length);
    this.pending = Array.from({ length: numCtas }, () => []);
    this.merges = Array.from({ length: numCtas }, () => []);
    this.finish = new Float64Array(numCtas);
    this.residents = new Int32Array(this.numSms);
    this.queueHead = numCtas;
  }

  run(): Drained {
    const { timers, streams, numCtas } = this;
    let launch: KernelCost = this.costs[0];
    for (let cta = 0; cta < numCtas; cta++) {
      const first = this.take(cta, true);
      if (first < 0) continue;
      this.residents[cta % this.numSms]++;
      launch = this.costOf(first);
      this.tile[cta] = first;
      this.state[cta] = STATE.merging;
      timers.push(launch.startNs, cta);
    }
    while (timers.size > 0 || streams.size > 0) {
      const share = this.shares[streams.size];
      const streamEnd = streams.size > 0 ? this.now + (streams.next - this.served) / share : Number.POSITIVE_INFINITY;
      if (streamEnd <= timers.next) {
        this.now = Math.max(this.now, streamEnd);
        this.served = streams.next;
        this.endKeys(streams.pop());
      } else {
        if (streams.size > 0) this.served += (timers.next - this.now) * share;
        this.now = timers.next;
        this.step(timers.pop());
      }
    }
    let makespan = 0;
    for (const end of this.finish) if (end > makespan) makespan = end;
    let bytes = 0;
    for (let t = 0; t < this.work.numTiles; t++) bytes += this.work.bytes[t] * this.work.cold[t];
    return { makespanNs: makespan, periodNs: makespan + launch.launchNs, bytes, finishNs: this.finish };
  }

  private costOf(tile: number): KernelCost {
    return this.costs[this.schedule.tiles[tile * TILE_STRIDE + TILE.tileClass]];
  }

  /** The next tile of a CTA, −1 at its end. */
  private take(cta: number, first: boolean): number {
    const { schedule, work } = this;
    if (schedule.dispatch === 'queue') {
      const tile = first ? cta : this.queueHead++;
      return tile < work.numTiles ? tile : -1;
    }
    if (schedule.dispatch === 'smQueue') {
      for (let owner = cta % this.numSms; owner < this.numCtas; owner += this.numSms) {
        if (this.next[owner] < schedule.ctaIndptr[owner + 1]) return this.next[owner]++;
      }
      return -1;
    }
    return this.next[cta] < schedule.ctaIndptr[cta + 1] ? this.next[cta]++ : -1;
  }

  /** A latency of the CTA has passed. */
  private step(cta: number): void {
    const state = this.state[cta];
    if (state === STATE.streaming) this.endKeys(cta);
    else if (state === STATE.ending) this.endTile(cta);
    else if (this.tile[cta] >= 0) this.startTile(cta);
    else this.endMerge(cta);
  }

  private startTile(cta: number): void {
    const { work, model } = this;
    const tile = this.tile[cta];
    const cost = this.costOf(tile);
    this.tileStart[cta] = this.now;
    this.state[cta] = STATE.streaming;
    const alone = this.residents[cta % this.numSms] <= 1;
    const arithmetic = work.steps[tile] * (alone ? cost.stepNs : cost.sharedStepNs);
    const bytes = work.bytes[tile] * (work.cold[tile] + (1 - work.cold[tile]) / model.l2Speedup);
    if (arithmetic >= bytes / this.shares[this.streams.size + 1]) this.timers.push(this.now + arithmetic, cta);
    else this.streams.push(this.served + bytes, cta);
  }

  private endKeys(cta: number): void {
    const cost = this.costOf(this.tile[cta]);
    const partial = this.schedule.tiles[this.tile[cta] * TILE_STRIDE + TILE.partialSlot] >= 0;
    this.state[cta] = STATE.ending;
    this.timers.push(this.now + (partial ? cost.partialTileNs : cost.tileNs), cta);
  }

  private endTile(cta: number): void {
    const { schedule } = this;
    const tile = this.tile[cta];
    const at = tile * TILE_STRIDE;
    this.sink?.('tile', cta, cta % this.numSms, tile, this.tileStart[cta], this.now);
    if (schedule.tiles[at + TILE.partialSlot] >= 0) {
      const first = schedule.tiles[at + TILE.mergeGroup];
      for (let g = 0; g < schedule.tiles[at + TILE.mergeGroupCount]; g++) this.pending[cta].push(first + g);
    }
    const next = this.take(cta, false);
    if (next >= 0) {
      this.tile[cta] = next;
      this.startTile(cta);
      return;
    }
    for (const group of this.pending[cta]) {
      if (++this.arrived[group] === this.work.groupArrivals[group]) this.merges[cta].push(group);
    }
    this.state[cta] = STATE.merging;
    this.residents[cta % this.numSms]--;
    this.startMerge(cta, this.costOf(tile));
  }

  private startMerge(cta: number, cost: KernelCost): void {
    const group = this.merges[cta][0];
    this.finish[cta] = this.now;
    if (group === undefined) return;
    this.tile[cta] = -1 - Math.max(0, this.costs.indexOf(cost));
    this.tileStart[cta] = this.now;
    this.timers.push(this.now + cost.mergeNs + cost.mergeStateNs * this.work.groupStates[group], cta);
  }

  private endMerge(cta: number): void {
    const group = this.merges[cta].shift() as number;
    this.sink?.('merge', cta, cta % this.numSms, group, this.tileStart[cta], this.now);
    this.startMerge(cta, this.costs[-1 - this.tile[cta]]);
  }
}
