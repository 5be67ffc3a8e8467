/** What a comparison of strategies found: every step of each, and what a table says of them. Values; knows no device. */
import { WarpbookError } from '../errors';
import { ascending, quantile } from '../measure/statistics';
import type { PooledGraph } from '../strategy/graph-pool';
import type { DecodeModel } from '../strategy/model';
import type { CaptureReport, StrategyExplanation, StrategyMemory } from '../strategy/strategy';
import type { StepRecord } from './strategy-run';

/** Median and 99th percentile. */
export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

/** How the outputs of a strategy compare with those of the first one. */
export interface Agreement {
  readonly stepsCompared: number;
  /** Steps whose outputs are the same bits. */
  readonly sameBits: number;
  /** Largest relative error (of the norm) of a step's outputs. */
  readonly maxRelativeError: number;
  /** Largest relative error against the float64 reference, of sampled requests; NaN where none was sampled. */
  readonly maxReferenceError: number;
  readonly referenceSamples: number;
  readonly tolerance: number;
  readonly agrees: boolean;
}

/** A model in numbers. */
export type ModelFacts = Readonly<
  Pick<DecodeModel, 'layers' | 'numQoHeads' | 'numKvHeads' | 'headDim' | 'dtype' | 'pageSize' | 'maxBatch' | 'maxKvLen'>
>;

/** One strategy's run. */
export interface StrategyResult {
  readonly name: string;
  readonly explanation: StrategyExplanation;
  readonly capture: CaptureReport;
  readonly memory: StrategyMemory;
  /** What it decoded with. */
  readonly model: ModelFacts;
  readonly records: readonly StepRecord[];
  readonly agreement: Agreement;
  /** Graphs of a pool. */
  readonly pooled?: readonly PooledGraph[];
  readonly evicted?: number;
}

/** A strategy that could not run here, and why. */
export interface SkippedStrategy {
  readonly name: string;
  readonly reason: string;
}

/** A line of the table; times in µs a decode step, memory in bytes. */
export interface ComparisonRow {
  readonly strategy: string;
  readonly deviceP50: number;
  readonly deviceP99: number;
  /** Of the device's time, what the copies of a step take (of a plan, or of who runs). */
  readonly copiesP50: number;
  /** Device time without copies. */
  readonly computeP50: number;
  readonly computeP99: number;
  readonly hostP50: number;
  readonly hostP99: number;
  readonly totalP50: number;
  readonly totalP99: number;
  readonly startP50: number;
  readonly captureMs: number;
  readonly graphs: number;
  readonly graphBytes: number;
  readonly workspaceBytes: number;
  /** Rows computed for nobody, percent of all rows. */
  readonly paddingPct: number;
  readonly recaptures: number;
  readonly fallbacks: number;
  readonly uploadedBytesPerStep: number;
  /** 'same bits', 'within tolerance' or 'WRONG'. */
  readonly outputs: string;
}

/** What {@link compareStrategies} found: a table to look at, and every step behind it. */
export class StrategyComparison {
  constructor(
    readonly device: string,
    readonly model: string,
    readonly trace: string,
    readonly results: readonly StrategyResult[],
    readonly skipped: readonly SkippedStrategy[],
    /** Requests of the trace that were left out because they are too long. */
    readonly skippedRequests: number,
  ) {}

  /** Device time of each strategy's steps, µs, by percentiles; a step of a loop on the device is its share. */
  percentiles(result: StrategyResult, of: (record: StepRecord) => number): Percentiles {
    const sorted = ascending(result.records.map(of).filter((value) => !Number.isNaN(value)));
    return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) };
  }

  rows(): ComparisonRow[] {
    return this.results.map((result) => {
      const us = (of: (record: StepRecord) => number): Percentiles =>
        this.percentiles(result, (record) => of(record) / record.steps / 1e3);
      const [device, host, total] = [us((r) => r.deviceNs), us((r) => r.hostNs), us((r) => r.totalNs)];
      const compute = us((r) => r.deviceNs - r.copyNs);
      const sum = (of: (record: StepRecord) => number): number => result.records.reduce((all, r) => all + of(r), 0);
      const rows = sum((r) => r.batchSize * r.steps);
      const padded = sum((r) => r.report.paddedRows);
      const steps = sum((r) => r.steps);
      return {
        strategy: result.name,
        deviceP50: device.p50,
        deviceP99: device.p99,
        copiesP50: us((r) => r.copyNs).p50,
        computeP50: compute.p50,
        computeP99: compute.p99,
        hostP50: host.p50,
        hostP99: host.p99,
        totalP50: total.p50,
        totalP99: total.p99,
        startP50: us((r) => r.startNs).p50,
        captureMs: result.capture.captureNs / 1e6,
        graphs: result.memory.graphs,
        graphBytes: result.memory.instanceBytes,
        workspaceBytes: result.memory.workspaceBytes,
        paddingPct: rows + padded === 0 ? 0 : (100 * padded) / (rows + padded),
        recaptures: sum((r) => r.report.recaptured),
        fallbacks: sum((r) => (r.report.fallback === undefined ? 0 : 1)),
        uploadedBytesPerStep: steps === 0 ? 0 : sum((r) => r.report.uploadedBytes) / steps,
        outputs: outputsText(result.agreement),
      };
    });
  }

  /** @throws WarpbookError INVALID_ARGUMENT for a strategy that isn't there */
  result(name: string): StrategyResult {
    const found = this.results.find((result) => result.name === name);
    if (found) return found;
    const names = this.results.map((result) => result.name).join(', ');
    const skipped = this.skipped.find((strategy) => strategy.name === name);
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      skipped
        ? `The strategy '${name}' was left out: ${skipped.reason} There are results of ${names}.`
        : `There is no result of a strategy '${name}'; wanted one of ${names}.`,
    );
  }

  toString(): string {
    return `StrategyComparison(${this.results.map(({ name }) => name).join(', ')} on ${this.device})`;
  }
}

function outputsText({ stepsCompared, sameBits, agrees }: Agreement): string {
  if (!agrees) return 'WRONG';
  if (stepsCompared === 0) return 'not compared';
  return sameBits === stepsCompared ? 'same bits' : 'within tolerance';
}
