/** `compare`: which of two pieces of device work is faster. Turns of both are interleaved; judge.ts says how it decides. */
import { type Device, defaultDevice } from '../device/device';
import type { Stream } from '../device/stream';
import { type Chain, type Measured, makeChain, timeTurns } from './chain';
import { type JudgeOptions, judge, type VerdictWord } from './judge';
import { announce, announceEnd } from './progress';
import { type Spread, spreadOf } from './statistics';

export interface CompareOptions extends Omit<JudgeOptions, 'onRound'> {
  readonly device?: Device;
  /** Where both enqueue; default: the device's own stream. */
  readonly stream?: Stream;
  /** Names of the two, for displays; default 'a' and 'b'. */
  readonly names?: readonly [a: string, b: string];
  /** As in `measure`; default `graph`. */
  readonly mode?: 'graph' | 'stream';
  /** Operand sets of each, as in `measure`; default 1. */
  readonly rotate?: number;
  /** Wanted length of a turn, µs; default 3000. Four of them are a round. */
  readonly turnUs?: number;
}

/** Numbers of calls within this factor are made equal. */
const SIMILAR = 4;

/** Which is faster. `faster` means: the first takes less time than the second. */
export class Verdict {
  constructor(
    readonly verdict: VerdictWord,
    readonly names: readonly [a: string, b: string],
    /** Time of the first over time of the second: estimate and confidence interval. */
    readonly ratio: number,
    readonly ratioLow: number,
    readonly ratioHigh: number,
    readonly rounds: number,
    /** Times of each, ns a call. */
    readonly a: Spread,
    readonly b: Spread,
  ) {}

  toString(): string {
    const [a, b] = this.names;
    const percent = (ratio: number): string =>
      Number.isFinite(ratio) && ratio > 0 ? `${ratio >= 1 ? '+' : ''}${((ratio - 1) * 100).toFixed(2)} %` : '?';
    const interval = `time ${percent(this.ratio)}, between ${percent(this.ratioLow)} and ${percent(this.ratioHigh)}, ${this.rounds} rounds`;
    if (this.verdict === 'unclear') return `unclear whether ${a} or ${b} is faster (${interval})`;
    if (this.verdict === 'same') return `${a} and ${b} take the same time (${interval})`;
    return `${a} is ${this.verdict} than ${b} (${interval})`;
  }
}

/**
 * Compares two pieces of work; each is as `measure` takes it.
 * @throws WarpbookError as `measure` and `judge`
 */
export async function compare(a: Measured, b: Measured, wanted: CompareOptions = {}): Promise<Verdict> {
  const { device = defaultDevice(), mode = 'graph', rotate = 1, turnUs = 3000, names = ['a', 'b'] } = wanted;
  const { stream = device.stream } = wanted;
  const chains: Chain[] = [];
  try {
    const options = { mode, rotate, turnNs: turnUs * 1e3 };
    for (const fn of [a, b]) chains.push(await makeChain(device, stream, fn, options));
    const calls = chains.map((chain) => chain.calls);
    const [most, least] = [Math.max(...calls), Math.min(...calls)];
    // What a turn costs beyond its calls must weigh the same in both; where they differ by more, it hardly weighs.
    if (most !== least && most <= SIMILAR * least) {
      const shorter = calls.indexOf(least);
      chains[shorter].dispose();
      chains[shorter] = await makeChain(device, stream, [a, b][shorter], { ...options, calls: most });
    }
    const [chainA, chainB] = chains;
    const what = `${names[0]} against ${names[1]}`;
    const judgement = await judge(
      async (order) => (await timeTurns(order.map((who) => (who === 'a' ? chainA : chainB)))).map((t) => t.deviceNs),
      {
        ...wanted,
        onRound: (round, most) =>
          announce({
            what,
            share: round / most,
            medianNs: Number.NaN,
            precisionPct: Number.POSITIVE_INFINITY,
            samplesNs: [],
            live: false,
            done: false,
          }),
      },
    );
    const { verdict, ratio, ratioLow, ratioHigh, rounds, timesA, timesB } = judgement;
    return new Verdict(verdict, names, ratio, ratioLow, ratioHigh, rounds, spreadOf(timesA), spreadOf(timesB));
  } finally {
    announceEnd(`${names[0]} against ${names[1]}`);
    for (const chain of chains) chain.dispose();
  }
}
