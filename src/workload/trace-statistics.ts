/**
 * The statistics that the synthetic traces are drawn from: quantiles of real traces, fitted by
 * scripts/fit-trace-statistics.ts. Numbers only; the drawing is in synthetic.ts.
 *
 * Sources: the Azure LLM inference trace 2023, conversation service (Patel et al., Splitwise, ISCA 2024; CC-BY 4.0), all
 * 19,366 requests; and the first 1,500 requests of Mooncake's conversation trace (Qin et al., FAST 2025; Apache-2.0).
 */

/** The traces that warpbook reads and imitates. */
export type TraceKind = 'azure-conversation' | 'mooncake-conversation';

/** Levels of every quantile table below; finer at the ends, where long requests are. */
export const QUANTILE_LEVELS: readonly number[] = [
  0, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9,
  0.95, 0.975, 0.99, 0.995, 0.999, 1,
];

/** Values at {@link QUANTILE_LEVELS}. */
export type QuantileTable = readonly number[];

export interface TraceStatistics {
  /** Prompt tokens. */
  readonly inputLength: QuantileTable;
  /**
   * Generated tokens, one table for each equal bin of the prompts by length, short prompts first. The Azure trace
   * mixes services, so that an output depends on its prompt, but not monotonically (rank correlation 0.07); in
   * Mooncake the two are independent (0.08), which one bin says.
   */
  readonly outputLength: readonly QuantileTable[];
  readonly arrivals:
    | { readonly kind: 'gaps' /** Microseconds between arrivals. */; readonly gapUs: QuantileTable }
    /** Poisson arrivals whose recorded times are rounded down to ticks. */
    | { readonly kind: 'ticks'; readonly meanGapUs: number; readonly tickUs: number };
  /** How prompts share prefixes; absent where the trace doesn't tell. */
  readonly prefixes?: PrefixStatistics;
}

/** Conversations: a follow-up's prompt begins with an earlier prompt. All prompts share their first hash block. */
export interface PrefixStatistics {
  /** Chance that a request follows up an earlier one, where an earlier one exists at the drawn lag. */
  readonly followUpProbability: number;
  /** Seconds from the earlier request to its follow-up. */
  readonly lagS: QuantileTable;
  /** Hash blocks of a follow-up that the earlier prompt didn't have. */
  readonly newBlocks: QuantileTable;
  /** Chance that a follow-up leaves the earlier prompt well before its end (an edited or truncated history). */
  readonly branchProbability: number;
}

export const TRACE_STATISTICS: Readonly<Record<TraceKind, TraceStatistics>> = {
  'azure-conversation': {
    inputLength: [
      2, 29, 120, 181, 207, 372, 387, 396, 403, 414, 703, 984, 1020, 1045, 1071, 1097, 1130, 1189, 1315, 1876, 2735,
      4083, 4092, 4142, 4831, 6212, 14050,
    ],
    outputLength: [
      [
        11, 12, 12, 16, 67, 86, 101, 112, 122, 134, 144, 154, 161, 163, 169, 177, 182, 189, 204, 217, 217, 217, 248,
        296, 342, 1000, 1000,
      ],
      [
        7, 14, 14, 18, 18, 46, 53, 59, 62, 66, 69, 72, 76, 79, 82, 87, 92, 99, 110, 131, 162, 183, 217, 217, 217, 294,
        436,
      ],
      [
        24, 53, 60, 72, 80, 83, 86, 88, 89, 91, 92, 94, 96, 98, 100, 102, 106, 109, 114, 122, 131, 143, 155, 171, 181,
        199, 200,
      ],
      [
        25, 51, 63, 75, 81, 85, 87, 89, 91, 93, 95, 97, 99, 101, 103, 106, 109, 113, 121, 129, 140, 153, 169, 200, 327,
        562, 739,
      ],
      [
        10, 35, 44, 57, 82, 91, 104, 121, 373, 382, 389, 394, 395, 397, 401, 406, 411, 415, 423, 429, 448, 513, 565,
        609, 622, 677, 921,
      ],
      [
        33, 63, 90, 371, 379, 386, 391, 394, 396, 397, 399, 401, 406, 411, 414, 415, 420, 428, 431, 444, 477, 538, 605,
        667, 939, 958, 1000,
      ],
      [
        28, 51, 84, 363, 377, 383, 388, 393, 396, 396, 398, 402, 407, 411, 414, 418, 426, 429, 438, 455, 500, 569, 621,
        662, 919, 1000, 1000,
      ],
      [
        26, 42, 47, 60, 92, 137, 157, 181, 207, 373, 383, 391, 396, 397, 401, 406, 412, 417, 424, 429, 453, 523, 597,
        643, 672, 954, 992,
      ],
      [
        15, 31, 37, 44, 50, 55, 63, 70, 75, 80, 85, 91, 95, 101, 108, 116, 126, 139, 149, 165, 191, 233, 377, 421, 480,
        594, 918,
      ],
      [
        17, 26, 28, 30, 35, 38, 41, 43, 46, 48, 51, 54, 58, 63, 68, 73, 79, 87, 100, 113, 132, 154, 187, 261, 363, 665,
        757,
      ],
    ],
    arrivals: {
      kind: 'gaps',
      gapUs: [
        2, 551, 1825, 6320, 16129, 26427, 36523, 48272, 60722, 73455, 87254, 101943, 118424, 137611, 158670, 183172,
        213606, 246733, 288810, 345900, 420740, 565234, 705010, 888997, 1030757, 1430997, 4314579,
      ],
    },
  },
  'mooncake-conversation': {
    inputLength: [
      891, 894, 896, 902, 1008, 1384, 1878, 2648, 3907, 4923, 5880, 6844, 8208, 9421, 10938, 12588, 15141, 17385, 20283,
      24623, 30183, 47735, 74773, 99349, 115243, 122889, 123192,
    ],
    outputLength: [
      [
        1, 3, 3, 11, 26, 51, 107, 164, 225, 269, 306, 340, 363, 387, 413, 439, 461, 492, 522, 555, 597, 682, 856, 1024,
        1920, 2000, 2000,
      ],
    ],
    arrivals: { kind: 'ticks', meanGapUs: 340_000, tickUs: 3_000_000 },
    prefixes: {
      followUpProbability: 0.36,
      lagS: [
        3, 12, 21, 27, 36, 42, 48, 54, 60, 66, 72, 78, 84, 93, 105, 117, 126, 156, 174, 201, 240, 300, 381, 441, 459,
        468, 468,
      ],
      newBlocks: [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 6, 10, 17, 22, 34, 46, 72, 77, 87, 87],
      branchProbability: 0.15,
    },
  },
};
