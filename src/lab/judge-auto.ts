/**
 * How good it is to let `auto` choose: against every single policy, against the best of each batch, and against what memory allows.
 * Plain arithmetic on measured times.
 */

/** A batch's times under all policies, ns. */
export interface AutoJudged {
  readonly what: string;
  /** By policy; `auto` among them. */
  readonly measuredNs: Readonly<Record<string, number>>;
  /** What `auto` took. */
  readonly chosen: string;
  /** Keys and values at the speed of a plain read, ns. */
  readonly floorNs: number;
}

export interface AutoSummary {
  readonly batches: number;
  /** Mean µs by policy, `auto` among them. */
  readonly meanUs: Readonly<Record<string, number>>;
  /** The single policy of the least mean. */
  readonly bestSingle: string;
  /** What `auto` takes more than it in the mean; negative where it is faster. Percent. */
  readonly autoOverBestSinglePct: number;
  /** The largest of a batch, and the share of batches in which it is at most 2 %. */
  readonly worstOverBestSinglePct: number;
  readonly within2Pct: number;
  /** What `auto` takes more than the measured best of each batch: mean and largest, percent. */
  readonly regretPct: number;
  readonly worstRegretPct: number;
  /** How much of `binarySearch`'s mean time `auto` saves, and the best of each batch, and what reads at the roof's speed. Percent. */
  readonly autoSavesPct: number;
  readonly oracleSavesPct: number;
  readonly floorSavesPct: number;
  /** How often each was chosen. */
  readonly chosen: Readonly<Record<string, number>>;
}

/** A single policy may be this much faster in a batch. */
const MARGIN = 0.02;

/** @param batches at least one; all with the same policies, `auto` and `binarySearch` among them */
export function summarizeAuto(batches: readonly AutoJudged[]): AutoSummary {
  const names = Object.keys(batches[0].measuredNs);
  const singles = names.filter((name) => name !== 'auto');
  const meanNs = Object.fromEntries(names.map((name) => [name, mean(batches, (one) => one.measuredNs[name])]));
  const bestSingle = singles.reduce((a, b) => (meanNs[b] < meanNs[a] ? b : a));
  const overSingle = batches.map(({ measuredNs }) => measuredNs.auto / measuredNs[bestSingle] - 1);
  const best = ({ measuredNs }: AutoJudged): number => Math.min(...singles.map((name) => measuredNs[name]));
  const regrets = batches.map((one) => one.measuredNs.auto / best(one) - 1);
  const chosen: Record<string, number> = {};
  for (const one of batches) chosen[one.chosen] = (chosen[one.chosen] ?? 0) + 1;
  const saves = (ns: number): number => percent(1 - ns / meanNs.binarySearch);
  return {
    batches: batches.length,
    meanUs: Object.fromEntries(names.map((name) => [name, Math.round(meanNs[name]) / 1e3])),
    bestSingle,
    autoOverBestSinglePct: percent(meanNs.auto / meanNs[bestSingle] - 1),
    worstOverBestSinglePct: percent(Math.max(...overSingle)),
    within2Pct: percent(overSingle.filter((over) => over <= MARGIN).length / batches.length),
    regretPct: percent(regrets.reduce((sum, regret) => sum + regret, 0) / batches.length),
    worstRegretPct: percent(Math.max(...regrets)),
    autoSavesPct: saves(meanNs.auto),
    oracleSavesPct: saves(mean(batches, best)),
    floorSavesPct: saves(mean(batches, ({ floorNs }) => floorNs)),
    chosen,
  };
}

function mean<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((sum, item) => sum + of(item), 0) / items.length;
}

function percent(share: number): number {
  return Math.round(share * 10_000) / 100;
}
