/**
 * The in-kernel trace: 32-byte records that the kernels write, one per work tile and one per merge group, so no
 * record's place depends on the order of execution. native/kernels/schedule_layout.h is generated from this too.
 */

/** Word (int32) offsets of a trace record's fields; times are 64-bit nanoseconds on the device's clock. */
export const TRACE_RECORD = {
  cta: 0,
  /** SM (or thread) that ran the CTA. */
  sm: 1,
  /** Index of the tile or merge group. */
  item: 2,
  /** {@link TRACE_PHASE}; 0 also in records that no launch has written. */
  phase: 3,
  startNs: 4,
  endNs: 6,
} as const;
export const TRACE_RECORD_WORDS = 8;

/** Phases; 0 means the record was never written. */
export const TRACE_PHASE = { unwritten: 0, tile: 1, merge: 2 } as const;
