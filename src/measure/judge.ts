/**
 * Which of two is faster: rounds of A and B in a drawn order, judged a few times on the way, with a bounded chance of a
 * false alarm. Asks for timings through a function, so that it knows no device and no clock.
 *
 * A round is A B B A or B A A B, whichever a coin says. A drift that is a straight line over the round cancels within it;
 * any other can't favour one of the two but by luck of the coin, and the signed-rank interval accounts for exactly that.
 * Every look spends an equal part of the allowed error rate.
 */
import { WarpbookError } from '../errors';
import { signedRankInterval } from './signed-rank';

/** Answers with the times of turns (any unit, positive), in the order asked for. */
export type TakeTurns = (order: readonly ('a' | 'b')[]) => readonly number[] | Promise<readonly number[]>;

/** When two sides of a comparison count as the same, and how often an alarm may be false. */
export interface JudgeOptions {
  /** Differences within ± this count as none, percent; default 1. */
  readonly marginPct?: number;
  /** Chance of calling two equal ones faster or slower, over all looks; default 0.004. */
  readonly falsePositiveRate?: number;
  /** Rounds after which to look, ascending; default 12, 20, 32, 48, 64. */
  readonly looks?: readonly number[];
  /** No round begins after this; default none. The answer is then `unclear` unless the last look said more. */
  readonly maxSeconds?: number;
  /** Numbers in [0, 1) that draw the order; default Math.random. */
  readonly random?: () => number;
  /** Milliseconds, for `maxSeconds`; default the steady clock. */
  readonly now?: () => number;
  readonly onRound?: (round: number, ofAtMost: number) => void;
}

/** `faster`: A takes less time than B. `same`: their ratio is within the margin. `unclear`: neither could be shown. */
export type VerdictWord = 'faster' | 'slower' | 'same' | 'unclear';

/** What {@link judge} found. Ratios are time of A over time of B. */
export interface Judgement {
  readonly verdict: VerdictWord;
  readonly ratio: number;
  readonly ratioLow: number;
  readonly ratioHigh: number;
  readonly rounds: number;
  /** Times of each, in the order taken: two a round. */
  readonly timesA: Float64Array;
  readonly timesB: Float64Array;
}

const DEFAULT_LOOKS: readonly number[] = [12, 20, 32, 48, 64];
const ORDERS: readonly (readonly ('a' | 'b')[])[] = [
  ['a', 'b', 'b', 'a'],
  ['b', 'a', 'a', 'b'],
];

/** See the file head. @throws WarpbookError INVALID_ARGUMENT for times that aren't positive, and for options out of range */
export async function judge(takeTurns: TakeTurns, options: JudgeOptions = {}): Promise<Judgement> {
  const {
    marginPct = 1,
    falsePositiveRate = 0.004,
    looks = DEFAULT_LOOKS,
    maxSeconds = Number.POSITIVE_INFINITY,
  } = options;
  const { random = Math.random, now = () => performance.now(), onRound } = options;
  checkOptions(marginPct, falsePositiveRate, looks);
  const alpha = falsePositiveRate / looks.length;
  const margin = Math.log1p(marginPct / 100);
  const most = looks[looks.length - 1];
  const differences: number[] = [];
  const timesA: number[] = [];
  const timesB: number[] = [];
  const deadline = now() + maxSeconds * 1e3;

  let found = conclude(differences, alpha, margin);
  for (let round = 1; round <= most && (round === 1 || now() < deadline); round++) {
    const order = ORDERS[random() < 0.5 ? 0 : 1];
    const times = await takeTurns(order);
    differences.push(logRatio(order, times, timesA, timesB));
    onRound?.(round, most);
    if (!looks.includes(round)) continue;
    found = conclude(differences, alpha, margin);
    if (found.verdict !== 'unclear') break;
  }
  return { ...found, rounds: differences.length, timesA: Float64Array.from(timesA), timesB: Float64Array.from(timesB) };
}

function checkOptions(marginPct: number, falsePositiveRate: number, looks: readonly number[]): void {
  const isAscending = looks.every((look, i) => Number.isInteger(look) && look > (looks[i - 1] ?? 0));
  if (marginPct >= 0 && falsePositiveRate > 0 && falsePositiveRate < 1 && looks.length > 0 && isAscending) return;
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    `Got marginPct ${marginPct}, falsePositiveRate ${falsePositiveRate}, looks [${looks.join(', ')}]; wanted a margin of at ` +
      'least 0, a rate between 0 and 1, and ascending numbers of rounds.',
  );
}

/** ln of A's time over B's in one round. */
function logRatio(order: readonly ('a' | 'b')[], times: readonly number[], timesA: number[], timesB: number[]): number {
  let sum = 0;
  for (const [turn, who] of order.entries()) {
    const time = times[turn];
    if (!(time > 0 && Number.isFinite(time))) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Got a time of ${time} for ${who.toUpperCase()}; wanted a positive one. Let a turn do more work, so that the clock sees it.`,
      );
    }
    (who === 'a' ? timesA : timesB).push(time);
    sum += who === 'a' ? Math.log(time) : -Math.log(time);
  }
  return sum / 2;
}

function conclude(
  differences: readonly number[],
  alpha: number,
  margin: number,
): Pick<Judgement, 'verdict' | 'ratio' | 'ratioLow' | 'ratioHigh'> {
  const { centre, low, high } = signedRankInterval(differences, alpha);
  let verdict: VerdictWord = 'unclear';
  if (low >= -margin && high <= margin) verdict = 'same';
  else if (high < 0) verdict = 'faster';
  else if (low > 0) verdict = 'slower';
  return { verdict, ratio: Math.exp(centre), ratioLow: Math.exp(low), ratioHigh: Math.exp(high) };
}
