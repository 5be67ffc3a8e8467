/**
 * A launch on the CPU device: threads take virtual CTAs from a counter, each drains its CTA's tiles, or draws them from the
 * queue, and merges the groups that it completes. What native/cpu/thread_pool.cc and attention/program.cc do, step by step.
 *
 * All busy threads are slowed down alike, by their number; so one clock, which runs at that pace, tells how far each of them is.
 *
 * Launches are chained, as in a graph. A thread that finds no CTA waits in a loop for the next launch, and goes to sleep after
 * 20 µs; the launch wakes it up, which takes long. So a launch whose threads end apart slows down the next one: the simulation
 * runs twice, the second time with the sleepers that the first one leaves.
 */
import type { Schedule } from '../schedule/schedule';
import { TILE, TILE_STRIDE } from '../schedule/work-tile';
import { type CpuCosts, type CpuTimes, cpuTimesOf } from './cpu-costs';
import type { Drained, SpanSink } from './engine';
import { EventHeap } from './event-heap';

/** How long a thread waits in a loop before it goes to sleep, ns (kSpinTime in native/cpu/spin.h). */
const SPIN_NS = 20_000;

/** Runs a schedule on the CPU device's threads. */
export function drainOnThreads(schedule: Schedule, costs: CpuCosts, sink?: SpanSink): Drained {
  const times = cpuTimesOf(schedule, costs);
  const awake = new Uint8Array(costs.pace.length);
  const asleep = Uint8Array.from(new ThreadRun(schedule, costs, times, awake).idleNs, (idle) => Number(idle > SPIN_NS));
  const run = new ThreadRun(schedule, costs, times, asleep, sink);
  return {
    makespanNs: run.endNs,
    periodNs: costs.launchNs + run.endNs + run.returnNs,
    bytes: times.bytes,
    finishNs: run.finishNs,
  };
}

const STATE = { waiting: 0, tile: 1, merging: 2 } as const;

/** One launch; thread 0 is the one that launches. */
class ThreadRun {
  /** float64 [numCtas]. */
  readonly finishNs: Float64Array;
  /** float64 [numThreads]: from a thread's last CTA to the next launch. */
  readonly idleNs: Float64Array;
  readonly endNs: number;
  /** What thread 0 takes to notice that all are done: nothing, or to be woken. */
  readonly returnNs: number;
  private readonly timers: EventHeap;
  private readonly work: EventHeap;
  private readonly state: Uint8Array;
  private readonly cta: Int32Array;
  private readonly item: Int32Array;
  private readonly startNs: Float64Array;
  private readonly doneNs: Float64Array;
  private readonly next: Int32Array;
  private readonly arrived: Int32Array;
  private readonly merges: number[][];
  private nextCta = 0;
  private queueHead = 0;
  private now = 0;
  private clock = 0;

  constructor(
    private readonly schedule: Schedule,
    private readonly costs: CpuCosts,
    private readonly times: CpuTimes,
    asleep: Uint8Array,
    private readonly sink?: SpanSink,
  ) {
    const numThreads = costs.pace.length;
    this.finishNs = new Float64Array(schedule.numCtas);
    this.timers = new EventHeap(numThreads);
    this.work = new EventHeap(numThreads);
    this.state = new Uint8Array(numThreads);
    this.cta = new Int32Array(numThreads).fill(-1);
    this.item = new Int32Array(numThreads);
    this.startNs = new Float64Array(numThreads);
    this.doneNs = new Float64Array(numThreads);
    this.next = schedule.ctaIndptr.slice(0, schedule.numCtas);
    this.arrived = new Int32Array(times.groupArrivals.length);
    this.merges = Array.from({ length: numThreads }, () => []);
    const used = Math.min(numThreads, schedule.numCtas);
    let sleeping = 0;
    for (let thread = 1; thread < used; thread++) {
      sleeping += asleep[thread];
      this.timers.set(thread, asleep[thread] ? costs.wakeNs + sleeping * costs.signalNs : costs.joinNs);
    }
    this.timers.set(0, sleeping * costs.signalNs);
    this.drainAll();
    this.endNs = largest(this.doneNs);
    this.returnNs = this.endNs - this.doneNs[0] > SPIN_NS ? costs.wakeNs : 0;
    // Thread 0 is the one that the next launch is on.
    this.idleNs = this.doneNs.map((done, thread) => (thread === 0 ? 0 : this.endNs + this.returnNs - done));
  }

  private drainAll(): void {
    const { timers, work } = this;
    while (timers.size > 0 || work.size > 0) {
      const pace = work.size > 0 ? this.costs.pace[work.size - 1] : 1;
      const workEnd = work.size > 0 ? this.now + (work.next - this.clock) / pace : Number.POSITIVE_INFINITY;
      if (workEnd <= timers.next) {
        this.now = Math.max(this.now, workEnd);
        this.clock = work.next;
        this.end(work.pop());
      } else {
        this.clock += (timers.next - this.now) * pace;
        this.now = timers.next;
        this.goOn(timers.pop());
      }
    }
  }

  /** A tile or a merge is done. */
  private end(thread: number): void {
    const cta = this.cta[thread];
    const item = this.item[thread];
    const merging = this.state[thread] === STATE.merging;
    this.sink?.(merging ? 'merge' : 'tile', cta, thread, item, this.startNs[thread], this.now);
    this.finishNs[cta] = this.now;
    this.doneNs[thread] = this.now;
    if (!merging) this.arrive(thread, item);
    const merge = this.merges[thread].shift();
    if (merge === undefined) this.goOn(thread);
    else this.start(thread, STATE.merging, merge, this.times.mergeNs[merge]);
  }

  /** Counts a partial tile's arrivals; whoever completes a group merges it. */
  private arrive(thread: number, tile: number): void {
    const { tiles } = this.schedule;
    const at = tile * TILE_STRIDE;
    if (tiles[at + TILE.partialSlot] < 0) return;
    const first = tiles[at + TILE.mergeGroup];
    for (let group = first; group < first + tiles[at + TILE.mergeGroupCount]; group++) {
      if (++this.arrived[group] === this.times.groupArrivals[group]) this.merges[thread].push(group);
    }
  }

  /** The thread's next tile, of its CTA or of the next one; nothing where there is none. */
  private goOn(thread: number): void {
    let spentNs = 0;
    for (;;) {
      if (this.cta[thread] < 0) {
        if (this.nextCta >= this.schedule.numCtas) return;
        this.cta[thread] = this.nextCta++;
        spentNs += this.costs.ctaNs;
      }
      const tile = this.take(this.cta[thread]);
      if (tile >= 0) {
        this.start(thread, STATE.tile, tile, spentNs + this.times.tileNs[tile]);
        return;
      }
      this.cta[thread] = -1;
    }
  }

  private take(cta: number): number {
    const { dispatch, numTiles, ctaIndptr } = this.schedule;
    if (dispatch === 'queue') return this.queueHead < numTiles ? this.queueHead++ : -1;
    return this.next[cta] < ctaIndptr[cta + 1] ? this.next[cta]++ : -1;
  }

  private start(thread: number, state: number, item: number, workNs: number): void {
    this.state[thread] = state;
    this.item[thread] = item;
    this.startNs[thread] = this.now;
    const { threadSpread } = this.costs;
    this.work.set(thread, this.clock + workNs * (thread % 2 === 0 ? 1 - threadSpread : 1 + threadSpread));
  }
}

function largest(values: Float64Array): number {
  let most = 0;
  for (const value of values) if (value > most) most = value;
  return most;
}
