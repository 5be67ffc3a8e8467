/**
 * The event simulation: CTAs on SMs drain a schedule's work list and share memory's bandwidth.
 *
 * A fluid model. Each tile is a stream, which takes a known time where memory gives all that is asked for, and a latency at its
 * end. At any moment all streams advance at the same pace: drawn over demanded bandwidth, from the measured saturation curve.
 * So one clock, which runs at that pace, tells how far every stream is: a stream ends when the clock passes a mark that was set
 * at its beginning, and an event costs a few steps of a heap, however many streams there are.
 *
 * A CTA's demand is the mean over its tile: while it is at a tile's end, its next keys are on their way. So CTAs that are all
 * at the same point, as those of equal tiles are, don't leave memory idle together, which they don't in truth either.
 *
 * Launches are chained, as in a graph. While one drains, CTAs of the next one start where an SM is free, and have what they
 * need before the release (programmatic dependent launch); those whose SM is free late start late.
 */
import type { Schedule } from '../schedule/schedule';
import { TILE, TILE_STRIDE } from '../schedule/work-tile';
import { type CostModel, drawnGbs, type KernelCost, MERGING_CTAS } from './cost-model';
import { EventHeap } from './event-heap';
import { gains } from './gains';
import { KeyReuse } from './key-reuse';
import { emptyMachine, lastOf, type Places, placesAfter, rankOf } from './places';
import { type TileCosts, tileCostsOf } from './tile-costs';

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
  /** Keys and values from memory. */
  readonly bytes: number;
  /** End of each CTA's last span after the release; float64 [numCtas], 0 where it had none. */
  readonly finishNs: Float64Array;
}

/** Groups that a CTA announces before it counts arrivals (attention/merge_groups.cuh); the CPU device counts at once. */
const PENDING_GROUPS = { alone: 4, shared: 16 } as const;

/** Runs a schedule through a model. */
export function drain(schedule: Schedule, model: CostModel, sink?: SpanSink): Drained {
  const costs = tileCostsOf(schedule, model);
  const { launchNs, prologueNs } = costs.classes[0];
  let places = emptyMachine(schedule, model);
  const sharesSms = places.sm[1] === places.sm[0];
  if (prologueNs > 0 || sharesSms) {
    const before = new Run(schedule, model, costs, places, { sink: undefined, reuses: false });
    places = placesAfter(before, costs.classes[0], sharesSms);
  }
  const { finishNs, bytes } = new Run(schedule, model, costs, places, { sink, reuses: true });
  const makespanNs = lastOf(finishNs);
  return { makespanNs, periodNs: makespanNs + launchNs, bytes, finishNs };
}

const STATE = { waiting: 0, streaming: 1, ending: 2, merging: 3 } as const;

/** One launch. */
class Run {
  readonly finishNs: Float64Array;
  /** Keys and values from memory so far. */
  bytes = 0;
  private readonly tiles: Int32Array;
  private readonly numCtas: number;
  private readonly numSms: number;
  private readonly ctasPerSm: number;
  private readonly pendingGroups: number;
  /** Ends of latencies, and of streams by the clock that runs at the pace. */
  private readonly timers: EventHeap;
  private readonly streams: EventHeap;
  private readonly state: Uint8Array;
  private readonly tile: Int32Array;
  private readonly startNs: Float64Array;
  readonly sm: Int32Array;
  private readonly starts: Float64Array;
  private readonly sink: SpanSink | undefined;
  /** CTAs of an SM, in the order in which they come; −1 where it has fewer. int32 [numSms × ctasPerSm] */
  private readonly onSm: Int32Array;
  /** How much longer a CTA's steps take than by a fair share while others are busy on its SM. */
  private readonly unfair: Float64Array;
  private readonly next: Int32Array;
  /** Of a queue: the tile that follows the CTA's present one. */
  private readonly following: Int32Array;
  private readonly demand: Float64Array;
  private readonly latency: Float64Array;
  private readonly arrived: Int32Array;
  // Where merges are shared: tiles of a group that have started, and how many had arrived before the last of them.
  private readonly started: Int32Array;
  private readonly early: Int32Array;
  private readonly pending: number[][] = [];
  private readonly merges: number[][] = [];
  /** CTAs with a tile, by SM. */
  private readonly busy: Int32Array;
  private readonly streamLength: Float64Array;
  /** Where tiles read the same keys: who reads from the L2. */
  private readonly reuse: KeyReuse | undefined;
  private readonly mostDrawn: number;
  /** The CPU device draws a tile when it is wanted, and its first one too. */
  private readonly drawsLate: boolean;
  private queueHead: number;
  private nextCta: number;
  private now = 0;
  private clock = 0;
  private pace = 1;
  private totalDemand = 0;
  private readonly gain: Float64Array;

  constructor(
    private readonly schedule: Schedule,
    private readonly model: CostModel,
    private readonly costs: TileCosts,
    places: Places,
    options: { readonly sink: SpanSink | undefined; readonly reuses: boolean },
  ) {
    this.sink = options.sink;
    this.sm = places.sm.slice();
    this.starts = places.starts;
    const { numCtas, machine } = schedule;
    this.tiles = schedule.tiles;
    this.numCtas = numCtas;
    this.numSms = machine.numSms;
    this.ctasPerSm = model.numThreads === undefined ? machine.tileClasses[0].ctasPerSm : 1;
    const pendingGroups = costs.sharesMerges ? PENDING_GROUPS.shared : PENDING_GROUPS.alone;
    this.pendingGroups = model.numThreads === undefined ? pendingGroups : 1;
    this.finishNs = new Float64Array(numCtas);
    this.timers = new EventHeap(numCtas);
    this.streams = new EventHeap(numCtas);
    this.state = new Uint8Array(numCtas);
    this.tile = new Int32Array(numCtas).fill(-1);
    this.startNs = new Float64Array(numCtas);
    this.onSm = new Int32Array(this.numSms * this.ctasPerSm).fill(-1);
    this.unfair = new Float64Array(numCtas).fill(1);
    this.next = schedule.ctaIndptr.slice(0, numCtas);
    this.following = new Int32Array(numCtas);
    this.demand = new Float64Array(numCtas);
    this.latency = new Float64Array(numCtas);
    this.arrived = new Int32Array(costs.work.groupArrivals.length);
    this.started = new Int32Array(costs.sharesMerges ? this.arrived.length : 0);
    this.early = new Int32Array(this.started.length);
    this.busy = new Int32Array(Math.max(this.numSms, model.numThreads ?? 0));
    this.streamLength = new Float64Array(numCtas);
    this.reuse = options.reuses && costs.work.sharesKeys ? new KeyReuse(schedule, costs) : undefined;
    this.mostDrawn = model.dram.drawnGbs[model.dram.drawnGbs.length - 1];
    this.drawsLate = model.numThreads !== undefined;
    this.gain = this.drawsLate ? new Float64Array(numCtas) : gains(schedule, costs, model);
    this.queueHead = this.drawsLate ? 0 : numCtas;
    this.nextCta = 0;
    if (this.ctasPerSm > 1) this.shareSms();
    const numPlaces = Math.min(numCtas, model.numThreads ?? numCtas);
    for (let place = 0; place < numPlaces; place++) this.launchNext(place % this.numSms);
    this.drainAll();
  }

  /** Who shares an SM with whom. */
  private shareSms(): void {
    const { numCtas, ctasPerSm, sm, onSm } = this;
    const { olderFirst } = this.costs.classes[0];
    for (let cta = 0; cta < numCtas; cta++) {
      let place = sm[cta] * ctasPerSm;
      const isFirst = onSm[place] < 0;
      while (onSm[place] >= 0) place++;
      onSm[place] = cta;
      this.unfair[cta] = 1 / (isFirst ? 1 + olderFirst : 1 - olderFirst / (ctasPerSm - 1));
    }
  }

  /** The next CTA with work on a place that is free. */
  private launchNext(place: number): void {
    while (this.nextCta < this.numCtas) {
      const cta = this.nextCta++;
      if (this.model.numThreads !== undefined) this.sm[cta] = place;
      const first = this.take(cta, true);
      if (first < 0) {
        if (this.model.numThreads === undefined) return;
        continue;
      }
      this.tile[cta] = first;
      this.state[cta] = STATE.waiting;
      this.timers.set(cta, this.now + this.starts[cta]);
      return;
    }
  }

  private drainAll(): void {
    const { timers, streams } = this;
    while (timers.size > 0 || streams.size > 0) {
      if (this.reuse?.isDue(this.clock) && this.nextEvent() > this.now) this.lookAtKeys(this.reuse);
      const streamEnd =
        streams.size > 0 ? this.now + (streams.next - this.clock) / this.pace : Number.POSITIVE_INFINITY;
      if (streamEnd <= timers.next) {
        this.now = Math.max(this.now, streamEnd);
        this.clock = streams.next;
        const cta = streams.pop();
        this.state[cta] = STATE.ending;
        this.bytes += this.reuse
          ? this.reuse.finish(cta, this.clock, this.streamLength[cta])
          : this.bytesOf(this.tile[cta]);
        timers.set(cta, this.now + this.latency[cta]);
      } else {
        this.clock += (timers.next - this.now) * this.pace;
        this.now = timers.next;
        this.step(timers.pop());
      }
    }
  }

  private nextEvent(): number {
    return Math.min(this.timers.next, this.now + (this.streams.next - this.clock) / this.pace);
  }

  /** Finds anew which tiles read from the L2, and what all ask of memory. */
  private lookAtKeys(reuse: KeyReuse): void {
    reuse.look(this.clock, this.streams, this.streamLength);
    for (let cta = 0; cta < this.numCtas; cta++) {
      if (this.state[cta] !== STATE.streaming || !reuse.hasTurned(cta)) continue;
      this.ask(-this.demand[cta]);
      this.demand[cta] = this.demandOf(reuse.bytesAsked(cta), this.streamLength[cta], this.latency[cta]);
      this.ask(this.demand[cta]);
    }
  }

  /** A latency of the CTA has passed. */
  private step(cta: number): void {
    switch (this.state[cta]) {
      case STATE.waiting:
        this.enter(cta, 1);
        this.startTile(cta);
        break;
      case STATE.ending:
        this.endTile(cta);
        break;
      default:
        this.endMerge(cta);
    }
  }

  /** The next tile of a CTA, −1 at its end. */
  private take(cta: number, first: boolean): number {
    const { schedule, costs } = this;
    if (schedule.dispatch === 'queue') {
      const tile = this.drawsLate ? this.queueHead++ : first ? cta : this.following[cta];
      return tile < costs.work.numTiles ? tile : -1;
    }
    if (schedule.dispatch === 'smQueue') {
      for (let place = 0; place < this.ctasPerSm; place++) {
        const owner = this.ctasPerSm === 1 ? cta : this.onSm[this.sm[cta] * this.ctasPerSm + place];
        if (owner >= 0 && this.next[owner] < schedule.ctaIndptr[owner + 1]) return this.next[owner]++;
      }
      return -1;
    }
    return this.next[cta] < schedule.ctaIndptr[cta + 1] ? this.next[cta]++ : -1;
  }

  private isLast(cta: number): boolean {
    const { schedule } = this;
    if (schedule.dispatch === 'queue') {
      return (this.drawsLate ? this.queueHead : this.following[cta]) >= this.costs.work.numTiles;
    }
    return this.next[cta] >= schedule.ctaIndptr[cta + 1];
  }

  /** Bytes of a tile whose keys nobody else reads. */
  private bytesOf(tile: number): number {
    return this.costs.work.bytes[tile] * this.costs.work.firstPass[tile];
  }

  private costOf(tile: number): KernelCost {
    return this.costs.classes[this.tiles[tile * TILE_STRIDE + TILE.tileClass]];
  }

  private startTile(cta: number): void {
    const { costs } = this;
    const tile = this.tile[cta];
    const cost = this.costOf(tile);
    this.startNs[cta] = this.now;
    this.state[cta] = STATE.streaming;
    // Kernels draw from the queue when a tile begins, so that the next one is known at its end.
    if (this.schedule.dispatch === 'queue' && !this.drawsLate) this.following[cta] = this.queueHead++;
    const busyShare = cost.busyShare === 0 ? 0 : cost.busyShare * Math.min(1, this.drawn() / this.mostDrawn);
    if (costs.sharesMerges) this.countStart(tile);
    const isLast = this.isLast(cta);
    let latency = costs.restNs[tile] + (isLast ? cost.lastTileNs : cost.tileNs * (1 + busyShare));
    if (this.tiles[tile * TILE_STRIDE + TILE.partialSlot] >= 0) latency += cost.partialNs;
    // Where draws are hidden, leaving the queue isn't.
    if (this.schedule.dispatch !== 'static') latency += isLast ? cost.drawNs : costs.drawNs[tile];
    this.latency[cta] = latency;
    const shared = this.busy[this.sm[cta]] > 1 ? costs.sharedRatio[tile] * this.unfair[cta] : 1;
    const slower = shared * (1 + cost.smSpread * rankOf(this.sm[cta]));
    const stream = (costs.streamNs[tile] - (isLast ? this.gain[cta] : 0)) * slower;
    this.reuse?.start(cta, tile);
    const asked = this.reuse ? this.reuse.bytesAsked(cta) : costs.coldBytes[tile];
    this.demand[cta] = this.demandOf(asked, stream, latency);
    this.ask(this.demand[cta]);
    this.streamLength[cta] = stream;
    this.streams.set(cta, this.clock + stream);
  }

  /** What a tile asks for in the mean, bytes per ns of stream: at the pace that it will itself bring about. */
  private demandOf(bytes: number, stream: number, latency: number): number {
    if (stream + latency === 0) return 0;
    const first = bytes / (stream + latency * this.pace);
    return bytes / (stream + latency * this.paceAt(this.totalDemand + first));
  }

  /** A CTA joins or leaves its SM: the others there slow down, or speed up. */
  private enter(cta: number, change: 1 | -1): void {
    if (this.ctasPerSm === 1) return;
    const sm = this.sm[cta];
    const before = this.busy[sm];
    this.busy[sm] += change;
    if (before > 1 === this.busy[sm] > 1) return;
    for (let place = sm * this.ctasPerSm; place < (sm + 1) * this.ctasPerSm; place++) {
      const other = this.onSm[place];
      const mark = other < 0 || other === cta ? undefined : this.streams.keyOf(other);
      if (mark === undefined) continue;
      const slower = this.costs.sharedRatio[this.tile[other]] * this.unfair[other];
      const ratio = change > 0 ? slower : 1 / slower;
      this.streams.set(other, this.clock + (mark - this.clock) * ratio);
      this.streamLength[other] *= ratio;
    }
  }

  private drawn(): number {
    return this.totalDemand * this.pace;
  }

  private ask(change: number): void {
    this.totalDemand = Math.max(0, this.totalDemand + change);
    this.pace = this.paceAt(this.totalDemand);
  }

  private paceAt(demand: number): number {
    const { dram } = this.model;
    if (demand <= dram.demandGbs[0]) return 1;
    return Math.min(1, drawnGbs(dram, demand * this.costs.slowness) / demand);
  }

  private endTile(cta: number): void {
    const tile = this.tile[cta];
    const at = tile * TILE_STRIDE;
    this.ask(-this.demand[cta]);
    this.demand[cta] = 0;
    this.sink?.('tile', cta, this.sm[cta], tile, this.startNs[cta], this.now);
    this.finishNs[cta] = this.now;
    if (this.tiles[at + TILE.partialSlot] >= 0) {
      this.pending[cta] ??= [];
      const first = this.tiles[at + TILE.mergeGroup];
      for (let g = 0; g < this.tiles[at + TILE.mergeGroupCount]; g++) this.pending[cta].push(first + g);
    }
    const next = this.take(cta, false);
    this.tile[cta] = next;
    const due = next < 0 || (this.pending[cta]?.length ?? 0) >= this.pendingGroups;
    if (due) this.countArrivals(cta);
    if (next < 0) this.enter(cta, -1);
    if (this.merges[cta]?.length > 0) this.startMerge(cta);
    else this.goOn(cta);
  }

  /** Whoever completes a group merges it. */
  private countArrivals(cta: number): void {
    const pending = this.pending[cta];
    if (!pending) return;
    for (const group of pending) {
      if (++this.arrived[group] !== this.costs.work.groupArrivals[group]) continue;
      this.merges[cta] ??= [];
      this.merges[cta].push(group);
    }
    pending.length = 0;
  }

  /** CTAs share a merge that arrive when all tiles of the group have started: others couldn't wait for states that may never come. */
  private countStart(tile: number): void {
    const at = tile * TILE_STRIDE;
    if (this.tiles[at + TILE.partialSlot] < 0) return;
    const first = this.tiles[at + TILE.mergeGroup];
    for (let group = first; group < first + this.tiles[at + TILE.mergeGroupCount]; group++) {
      if (++this.started[group] === this.costs.work.groupArrivals[group]) this.early[group] = this.arrived[group];
    }
  }

  private startMerge(cta: number): void {
    const { costs } = this;
    const group = this.merges[cta][0];
    const late = costs.sharesMerges ? costs.work.groupArrivals[group] - this.early[group] : 1;
    this.startNs[cta] = this.now;
    this.state[cta] = STATE.merging;
    this.timers.set(cta, this.now + costs.mergeNs(group, Math.max(1, Math.min(MERGING_CTAS, late))));
  }

  private endMerge(cta: number): void {
    const group = this.merges[cta].shift() as number;
    this.sink?.('merge', cta, this.sm[cta], group, this.startNs[cta], this.now);
    this.finishNs[cta] = this.now;
    if (this.merges[cta].length > 0) this.startMerge(cta);
    else this.goOn(cta);
  }

  private goOn(cta: number): void {
    if (this.tile[cta] >= 0) this.startTile(cta);
    else if (this.model.numThreads !== undefined) this.launchNext(this.sm[cta]);
  }
}
