/**
 * Times of many batches on a machine that isn't quiet: all of them in turn, round after round. What else the machine does changes
 * within seconds (neighbours on the same cores, clocks), so times that are taken one after the other are of different machines; in
 * rounds everything gets its share of every moment.
 */
import { throwIfInterrupted } from '../interruption';
import type { Policy, Schedule } from '../schedule/schedule';
import type { ColdSets } from './cold-pool';
import type { BatchTimer, TimedBatch } from './time-batch';

/** A batch under a policy. */
export interface RoundItem extends TimedBatch {
  readonly policy: Policy;
}

/** What an item took. */
export interface RoundTime {
  readonly schedule: Schedule;
  /** Of each round the least of its turns, ns a launch; at least one round. */
  readonly roundNs: readonly number[];
}

export interface RoundOptions {
  /** Rounds that are timed, after a first one that isn't. */
  readonly rounds: number;
  /** Stop between two rounds where the next one would end later than this, by performance.now(), ms; default: never. */
  readonly deadline?: number;
  /** Told before each round. */
  readonly onRound?: (round: number) => void;
}

/** Turns of an item in a round: enough for one that nobody interrupts. */
const TURNS = 4;
/** Wanted length of a turn, ns: short beside the time slices of a system. */
const TURN_NS = 0.1e6;
/** What a launch is taken to last before it was timed, ns. */
const UNKNOWN_NS = 1e6;

/** Times all items in rounds. The first round warms up, and tells how long turns have to be. */
export async function timeInRounds(
  timer: BatchTimer,
  items: readonly RoundItem[],
  { rounds, deadline = Number.POSITIVE_INFINITY, onRound }: RoundOptions,
): Promise<RoundTime[]> {
  const sets = new Map<readonly number[], ColdSets>();
  const known = items.map(() => UNKNOWN_NS);
  const schedules: Schedule[] = [];
  const roundNs: number[][] = items.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    const started = performance.now();
    onRound?.(round);
    for (const [i, item] of items.entries()) {
      throwIfInterrupted();
      const operands = sets.get(item.kvLens) ?? timer.sets(item);
      sets.set(item.kvLens, operands);
      const { schedule, minNs } = await timer.time(item, operands, item.policy, () => known[i], TURNS, TURN_NS);
      known[i] = minNs;
      schedules[i] = schedule;
      if (round > 0) roundNs[i].push(minNs);
      // Lets whoever shows progress draw.
      if (i % 16 === 0) await new Promise(setImmediate);
    }
    const lasted = performance.now() - started;
    if (round > 0 && performance.now() + lasted > deadline) break;
  }
  return items.map((_, i) => ({ schedule: schedules[i], roundNs: roundNs[i] }));
}

/**
 * The time that counts: the mean of the middle half of the rounds' least times. The least within a round is one that nobody interrupted;
 * the least of all rounds would be one of a moment when the neighbours slept, which not every item has. A median jumps where a
 * machine has two speeds, which is what a core has whose other half is somebody else's.
 */
export function typicalNs({ roundNs }: Pick<RoundTime, 'roundNs'>): number {
  return middleMean(roundNs);
}

/** What the typical time of the odd rounds is more than that of the even ones, percent, with its sign. */
export function repeatabilityPct({ roundNs }: Pick<RoundTime, 'roundNs'>): number {
  const odd = roundNs.filter((_, round) => round % 2 === 1);
  const even = roundNs.filter((_, round) => round % 2 === 0);
  return odd.length > 0 ? (middleMean(odd) / middleMean(even) - 1) * 100 : Number.NaN;
}

/** Mean without the lower and the upper quarter. */
function middleMean(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const left = Math.floor(sorted.length / 4);
  const kept = sorted.subarray(left, sorted.length - left);
  return kept.reduce((sum, value) => sum + value, 0) / kept.length;
}
