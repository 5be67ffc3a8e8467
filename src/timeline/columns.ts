/** The columns of a timeline and their checks. Knows nothing but their meaning; timeline.ts gives them methods. */
import { requireInteger, WarpbookError } from '../errors';

/** Where the times come from: a kernel's trace, or a cost model. */
export type TimelineSource = 'measured' | 'simulated';

/** What a CTA was doing during a span. */
export type SpanPhase = 'tile' | 'merge';

/** The columns of a timeline; all have one entry per span. −1 in a label: not known, or several. */
export interface TimelineColumns {
  /** int32 [numSpans] */
  readonly cta: Int32Array;
  /** int32 [numSpans]: the SM (CPU device: the thread) that ran the CTA. */
  readonly sm: Int32Array;
  /** int32 [numSpans]: index of the work tile, or of the merge group. */
  readonly item: Int32Array;
  /** uint8 [numSpans]: TRACE_PHASE.tile or TRACE_PHASE.merge. */
  readonly phase: Uint8Array;
  /** float64 [numSpans], nanoseconds since the first start. */
  readonly startNs: Float64Array;
  /** float64 [numSpans], nanoseconds since the first start. */
  readonly endNs: Float64Array;
  /** int32 [numSpans] */
  readonly request: Int32Array;
  /** int32 [numSpans] */
  readonly kvHead: Int32Array;
  /** int32 [numSpans]: KV tokens that the tile attends to; 0 for a merge. */
  readonly kvTokens: Int32Array;
  /** int32 [numSpans]: first KV token that the tile attends to; −1: not known, or a merge. Absent: none is known. */
  readonly kvStart?: Int32Array;
  /** uint8 [numSpans]: 1 where the tile writes a partial state that is merged later. */
  readonly partial: Uint8Array;
  /**
   * int32 [numSpans]: of a partial tile, the first merge group that waits for it; −1 elsewhere. Where the column is absent,
   * dependencies are taken from the labels (see dependencies.ts).
   */
  readonly mergeGroup?: Int32Array;
  /** int32 [numSpans]: the merge groups [mergeGroup, mergeGroup + mergeGroupCount) wait for the tile; default 1. */
  readonly mergeGroupCount?: Int32Array;
}

/** All columns; the last ones may be absent. */
export const COLUMN_NAMES: readonly (keyof TimelineColumns)[] = [
  'cta',
  'sm',
  'item',
  'phase',
  'startNs',
  'endNs',
  'request',
  'kvHead',
  'kvTokens',
  'kvStart',
  'partial',
  'mergeGroup',
  'mergeGroupCount',
];

/** @throws WarpbookError INVALID_ARGUMENT; see the constructor of Timeline */
export function checkColumns(numCtas: number, columns: TimelineColumns): void {
  const numSpans = columns.cta.length;
  for (const name of COLUMN_NAMES) {
    const numEntries = columns[name]?.length;
    if (numEntries !== undefined && numEntries !== numSpans) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `The timeline's column ${name} has ${numEntries} entries; wanted ${numSpans}, as many as cta has.`,
      );
    }
  }
  for (let i = 0; i < numSpans; i++) {
    if (columns.cta[i] < 0 || columns.cta[i] >= numCtas) requireInteger(`cta[${i}]`, columns.cta[i], 0, numCtas - 1);
    if (!(columns.endNs[i] >= columns.startNs[i])) {
      throw new WarpbookError(
        'INVALID_ARGUMENT',
        `Span ${i} of the timeline ends at ${columns.endNs[i]} ns, before its start at ${columns.startNs[i]} ns.`,
      );
    }
  }
}
