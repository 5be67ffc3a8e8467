/**
 * The Timeline: what every CTA did and when, one type for measured and simulated runs, so that the two can be compared
 * and drawn alike. Structure of arrays; spans in any order. Knows no schedule, device or chart.
 */
import { requireInteger } from '../errors';
import { type Achieved, type AchievedOptions, achieved, type TimelineWork } from './achieved';
import { checkColumns, type SpanPhase, type TimelineColumns, type TimelineSource } from './columns';
import { type CriticalPath, criticalPath } from './critical-path';
import { type TimelineDifference, timelineDifference } from './difference';
import { type IdleTime, idleTime } from './idle';
import { type TimelineStats, timelineStats } from './stats';
import { TRACE_PHASE } from './trace-record';
import { type SpanSelection, selectSpans } from './zoom';

/** One span as an object, for reading in a cell; see {@link Timeline.span}. */
export interface Span {
  readonly cta: number;
  readonly sm: number;
  readonly item: number;
  readonly phase: SpanPhase;
  readonly startNs: number;
  readonly endNs: number;
  readonly request: number;
  readonly kvHead: number;
  readonly kvTokens: number;
  readonly partial: boolean;
}

export class Timeline implements TimelineColumns {
  readonly source: TimelineSource;
  /** CTAs of the launch, those without a span included. */
  readonly numCtas: number;
  readonly cta: Int32Array;
  readonly sm: Int32Array;
  readonly item: Int32Array;
  readonly phase: Uint8Array;
  readonly startNs: Float64Array;
  readonly endNs: Float64Array;
  readonly request: Int32Array;
  readonly kvHead: Int32Array;
  readonly kvTokens: Int32Array;
  readonly kvStart?: Int32Array;
  readonly partial: Uint8Array;
  readonly mergeGroup: Int32Array | undefined;
  readonly mergeGroupCount: Int32Array | undefined;

  /**
   * Takes the columns over without copying.
   * @throws WarpbookError INVALID_ARGUMENT for columns of different lengths, CTAs outside [0, numCtas), or a span that
   * ends before it starts
   */
  constructor(source: TimelineSource, numCtas: number, columns: TimelineColumns) {
    requireInteger('numCtas', numCtas, 0);
    checkColumns(numCtas, columns);
    this.source = source;
    this.numCtas = numCtas;
    this.cta = columns.cta;
    this.sm = columns.sm;
    this.item = columns.item;
    this.phase = columns.phase;
    this.startNs = columns.startNs;
    this.endNs = columns.endNs;
    this.request = columns.request;
    this.kvHead = columns.kvHead;
    this.kvTokens = columns.kvTokens;
    this.kvStart = columns.kvStart;
    this.partial = columns.partial;
    this.mergeGroup = columns.mergeGroup;
    this.mergeGroupCount = columns.mergeGroupCount;
  }

  get numSpans(): number {
    return this.cta.length;
  }

  /** From the first start to the last end; 0 for an empty timeline. */
  get durationNs(): number {
    let end = 0;
    for (const t of this.endNs) if (t > end) end = t;
    return end;
  }

  /** Span `index` as an object. */
  span(index: number): Span {
    requireInteger('index', index, 0, this.numSpans - 1);
    return {
      cta: this.cta[index],
      sm: this.sm[index],
      item: this.item[index],
      phase: this.phase[index] === TRACE_PHASE.merge ? 'merge' : 'tile',
      startNs: this.startNs[index],
      endNs: this.endNs[index],
      request: this.request[index],
      kvHead: this.kvHead[index],
      kvTokens: this.kvTokens[index],
      partial: this.partial[index] === 1,
    };
  }

  /** All spans as objects, for `table()` or arquero's `from()`. */
  spans(): Span[] {
    return Array.from({ length: this.numSpans }, (_, i) => this.span(i));
  }

  /**
   * How busy the lanes were.
   * @param lanes 'cta' (default): a lane per CTA of the launch; 'sm': one per SM (CPU device: thread) that ran a span,
   * the fairer view where a few threads play many CTAs
   */
  stats(lanes: 'cta' | 'sm' = 'cta'): TimelineStats {
    return timelineStats(this, this.numCtas, lanes);
  }

  /**
   * Idle time by cause: launch, gaps, imbalance, tail, merge; see {@link IdleTime}.
   * @param lanes as for {@link stats}
   */
  idle(lanes: 'cta' | 'sm' = 'cta'): IdleTime {
    return idleTime(this, this.numCtas, lanes);
  }

  /**
   * What the duration is made of: the chain of spans, each of which had to wait for the one before, that ends last. A
   * merge follows the last of its partial tiles, any other span what its CTA (or its SM) did before.
   */
  criticalPath(): CriticalPath {
    return criticalPath(this);
  }

  /**
   * How far this timeline is from another of the same launch, by CTA and by tile: a prediction from the measurement.
   * Errors are relative to `other`.
   * @throws WarpbookError INVALID_ARGUMENT for a timeline of another number of CTAs
   */
  difference(other: Timeline): TimelineDifference {
    return timelineDifference(this, other);
  }

  /**
   * Bytes and operations a second, in all and over time.
   * @param work what each tile (and merge group) moves and computes; `tileWork(schedule)` knows
   * @throws WarpbookError INVALID_ARGUMENT for a tile that `work` doesn't know
   */
  achieved(work: TimelineWork, options: AchievedOptions = {}): Achieved {
    return achieved(this, work, options);
  }

  /**
   * The spans of a request, an SM, a CTA, a KV head or a stretch of time alone, on the same clock and the same CTAs. Merges
   * stay with their request.
   * @throws WarpbookError INVALID_ARGUMENT where nothing is asked for, or a window ends before it starts
   */
  zoom(selection: SpanSelection): Timeline {
    return new Timeline(this.source, this.numCtas, selectSpans(this, selection));
  }

  toString(): string {
    const { makespanNs, utilisation } = this.stats();
    return (
      `Timeline(${this.source}: ${this.numSpans} spans on ${this.numCtas} CTAs, ` +
      `${(makespanNs / 1e3).toFixed(1)} µs, ${(utilisation * 100).toFixed(1)} % busy)`
    );
  }
}
