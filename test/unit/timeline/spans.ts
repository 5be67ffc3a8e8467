/** Timelines for tests, from the few fields that a test is about. */
import { type Span, Timeline } from '../../../src/timeline/timeline';

export function timelineOf(
  numCtas: number,
  spans: readonly (Partial<Span> & Pick<Span, 'cta' | 'startNs' | 'endNs'>)[],
  source: 'measured' | 'simulated' = 'measured',
): Timeline {
  const column = (pick: (span: (typeof spans)[number], i: number) => number): Int32Array =>
    Int32Array.from(spans, pick);
  return new Timeline(source, numCtas, {
    cta: column((s) => s.cta),
    sm: column((s) => s.sm ?? s.cta),
    item: column((s, i) => s.item ?? i),
    phase: Uint8Array.from(spans, (s) => (s.phase === 'merge' ? 2 : 1)),
    startNs: Float64Array.from(spans, (s) => s.startNs),
    endNs: Float64Array.from(spans, (s) => s.endNs),
    request: column((s) => s.request ?? 0),
    kvHead: column((s) => s.kvHead ?? 0),
    kvTokens: column((s) => s.kvTokens ?? 0),
    partial: Uint8Array.from(spans, (s) => (s.partial ? 1 : 0)),
  });
}
