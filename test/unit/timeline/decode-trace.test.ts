import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeTrace, type TraceMeta } from '../../../src/timeline/decode-trace';
import { TRACE_PHASE, TRACE_RECORD, TRACE_RECORD_WORDS } from '../../../src/timeline/trace-record';

interface Written {
  cta: number;
  sm?: number;
  item: number;
  phase: number;
  start: bigint;
  end: bigint;
}

function traceOf(records: readonly (Written | undefined)[]): Int32Array {
  const words = new Int32Array(records.length * TRACE_RECORD_WORDS);
  const clocks = new BigInt64Array(words.buffer);
  records.forEach((record, i) => {
    if (!record) return;
    const at = i * TRACE_RECORD_WORDS;
    words[at + TRACE_RECORD.cta] = record.cta;
    words[at + TRACE_RECORD.sm] = record.sm ?? record.cta;
    words[at + TRACE_RECORD.item] = record.item;
    words[at + TRACE_RECORD.phase] = record.phase;
    clocks[(at + TRACE_RECORD.startNs) / 2] = record.start;
    clocks[(at + TRACE_RECORD.endNs) / 2] = record.end;
  });
  return words;
}

const META: TraceMeta = {
  numCtas: 4,
  tiles: { request: [0, 1, -1], kvHead: [2, 3, 0], kvTokens: [100, 200, 300], partial: [0, 1, 1] },
  merges: { request: [7], kvHead: [5] },
};

describe('decodeTrace', () => {
  test('labels tiles and merges, and leaves unwritten records out', () => {
    const timeline = decodeTrace(
      traceOf([
        { cta: 1, sm: 9, item: 1, phase: TRACE_PHASE.tile, start: 1_000n, end: 1_400n },
        undefined,
        { cta: 3, item: 0, phase: TRACE_PHASE.merge, start: 1_500n, end: 1_550n },
        { cta: 0, item: 0, phase: TRACE_PHASE.tile, start: 900n, end: 1_300n },
      ]),
      META,
    );
    expect(timeline.source).toBe('measured');
    expect(timeline.numSpans).toBe(3);
    expect(timeline.spans()).toEqual([
      {
        cta: 1,
        sm: 9,
        item: 1,
        phase: 'tile',
        startNs: 100,
        endNs: 500,
        request: 1,
        kvHead: 3,
        kvTokens: 200,
        partial: true,
      },
      {
        cta: 3,
        sm: 3,
        item: 0,
        phase: 'merge',
        startNs: 600,
        endNs: 650,
        request: 7,
        kvHead: 5,
        kvTokens: 0,
        partial: false,
      },
      {
        cta: 0,
        sm: 0,
        item: 0,
        phase: 'tile',
        startNs: 0,
        endNs: 400,
        request: 0,
        kvHead: 2,
        kvTokens: 100,
        partial: false,
      },
    ]);
    expect(timeline.durationNs).toBe(650);
  });

  test('keeps single nanoseconds of clocks beyond 2^53, across a carry of the low word', () => {
    const base = (123_456_789n << 32n) + 0xffff_fffen;
    const timeline = decodeTrace(
      traceOf([
        { cta: 0, item: 0, phase: TRACE_PHASE.tile, start: base, end: base + 3n },
        { cta: 1, item: 1, phase: TRACE_PHASE.tile, start: base + 1n, end: base + 10_000_000_001n },
      ]),
      META,
    );
    expect([...timeline.startNs]).toEqual([0, 1]);
    expect([...timeline.endNs]).toEqual([3, 10_000_000_001]);
  });

  test('agrees with BigInt arithmetic for any clock', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.bigInt(0n, 2n ** 63n - 1n - 2n ** 50n), fc.bigInt(0n, 2n ** 50n)), {
          minLength: 1,
          maxLength: 20,
        }),
        (clocks) => {
          const base = clocks[0][0];
          const spans = clocks.map(([offset, length]) => ({ start: base + (offset % 2n ** 50n), length }));
          const origin = spans.reduce((least, { start }) => (start < least ? start : least), spans[0].start);
          const records = spans.map(({ start, length }) => ({
            cta: 0,
            item: 0,
            phase: TRACE_PHASE.tile,
            start,
            end: start + length,
          }));
          const timeline = decodeTrace(traceOf(records), META);
          expect([...timeline.startNs]).toEqual(spans.map(({ start }) => Number(start - origin)));
          expect([...timeline.endNs]).toEqual(spans.map(({ start, length }) => Number(start + length - origin)));
        },
      ),
    );
  });

  test('a launch that wrote nothing is an empty timeline', () => {
    const timeline = decodeTrace(traceOf([undefined, undefined]), META);
    expect(timeline.numSpans).toBe(0);
    expect(timeline.durationNs).toBe(0);
    expect(timeline.numCtas).toBe(4);
  });

  test('refuses what no kernel can have written', () => {
    const tile = { cta: 0, item: 0, phase: TRACE_PHASE.tile, start: 5n, end: 6n };
    expect(() => decodeTrace(new Int32Array(7), META)).toThrow(/has 7 words; wanted a multiple of 8/);
    expect(() => decodeTrace(traceOf([{ ...tile, phase: 9 }]), META)).toThrow(
      /Trace record 0 has phase 9; wanted 0, 1 \(tile\) or 2/,
    );
    expect(() => decodeTrace(traceOf([tile, { ...tile, item: 3 }]), META)).toThrow(
      'The tile of trace record 1 is 3; wanted an integer from 0 to 2.',
    );
    expect(() => decodeTrace(traceOf([{ ...tile, cta: 4 }]), META)).toThrow(
      'cta[0] is 4; wanted an integer from 0 to 3.',
    );
    expect(() => decodeTrace(traceOf([{ ...tile, end: 4n }]), META)).toThrow(
      'Span 0 of the timeline ends at -1 ns, before its start at 0 ns.',
    );
  });
});
