/**
 * The work tile: the record that every kernel drains, and the tables it points into. All int32.
 *
 * A tile is a range of KV tokens of one KV sequence, for a range of query rows of one KV head. Tiles are kept
 * record by record (stride {@link TILE_STRIDE}, 64 bytes: one cache line, one transaction of a warp), because a CTA
 * reads whole records and never a column. `TILE.kvStart` and its like are word offsets within a record.
 *
 * native/kernels/schedule_layout.h is generated from these descriptors (`npm run generate`).
 */

/** Word offsets of a work tile's fields. */
export const TILE = {
  /** Index into the machine's tile classes. */
  tileClass: 0,
  kvHead: 1,
  /** Index into the table of KV sequences. */
  kvSeq: 2,
  /** First query row, or first entry of the row table where `flags & GATHER_ROWS`. */
  rowStart: 3,
  rowCount: 4,
  /** KV range of the tile in tokens of its KV sequence; empty for a row that sees no key. */
  kvStart: 5,
  kvEnd: 6,
  /** Range in the segment table; segCount 0: the whole KV range. */
  segStart: 7,
  segCount: 8,
  /** First row in the partial-state buffers, or −1: the tile's result is the final output. */
  partialSlot: 9,
  /** First merge group of a partial tile, or −1. */
  mergeGroup: 10,
  /** Bits of {@link TILE_FLAG}. */
  flags: 11,
  /** Request that the rows belong to; −1 where rows are gathered from several. */
  request: 12,
  /** Derived: first page of the KV sequence, an index into paged_kv_indices (saves a dependent load). */
  pageStart: 13,
  /** Derived: a query token's KV position is its batch-wide index plus this (right-aligned). Unused when gathered. */
  qoPositionBase: 14,
  /**
   * Merge groups that wait for this tile: it arrives at groups [mergeGroup, mergeGroup + mergeGroupCount). 1 for an
   * ordinary partial tile, more where one tile holds rows of several groups (a shared prefix), 0 for a final tile.
   */
  mergeGroupCount: 15,
} as const;
/** Words of a work tile. */
export const TILE_STRIDE = 16;

/** Bits of the `flags` word of a work tile. */
export const TILE_FLAG = {
  /** Some row of the tile does not see some key of the range: causal, window or segments. */
  needsMask: 1,
  /** Rows come from the row table. */
  gatherRows: 2,
} as const;

/** A KV sequence: a request's keys and values, or a prefix shared by several requests. */
export const KV_SEQUENCE = {
  /** First page, an index into paged_kv_indices. */
  pageStart: 0,
  /** Tokens. */
  kvLen: 1,
  /** Position of the first token in the coordinates of the queries (0 unless a shared prefix lies before it). */
  positionOffset: 2,
  /** Request whose page list holds the pages. */
  request: 3,
} as const;
/** Words of a KV sequence. */
export const KV_SEQUENCE_STRIDE = 4;

/** A query row where rows are gathered. */
export const ROW = { request: 0, qoToken: 1, qoHead: 2, qoPosition: 3 } as const;
/** Words of a row. */
export const ROW_STRIDE = 4;

/** A sub-range of a tile's KV range. `masked`: 0 every row sees all of it, 1 the mask applies. */
export const SEGMENT = { kvStart: 0, kvEnd: 1, masked: 2, reserved: 3 } as const;
/** Words of a segment. */
export const SEGMENT_STRIDE = 4;

/**
 * Partial states that make up output rows; merged in the order of their slots, never in the order of arrival. A group
 * is complete when as many tiles have arrived as it has slots: each slot is written by one tile.
 */
export const MERGE_GROUP = {
  rowStart: 0,
  rowCount: 1,
  kvHead: 2,
  /** Range in the table of merge slots; each entry is a tile's `partialSlot`. */
  slotStart: 3,
  slotCount: 4,
  /** Bits of {@link TILE_FLAG}: gatherRows. */
  flags: 5,
  reserved0: 6,
  reserved1: 7,
} as const;
/** Words of a merge group. */
export const MERGE_GROUP_STRIDE = 8;

/** How tiles reach CTAs. */
export const DISPATCH = {
  /** CTA c drains tiles [ctaIndptr[c], ctaIndptr[c + 1]). */
  static: 0,
  /** All CTAs take the next tile of one queue. */
  queue: 1,
  /** The CTAs of an SM share a queue. */
  smQueue: 2,
} as const;
export type DispatchKind = keyof typeof DISPATCH;
