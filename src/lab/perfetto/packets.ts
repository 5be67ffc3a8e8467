/**
 * Timelines as packets of a Perfetto trace: a process for each timeline, in it a track for each SM (or CTA), a slice for each
 * span, and flow arrows from partial tiles to the merges that wait for them. Plain objects; knows no encoding.
 */
import { mergeDependencies } from '../../timeline/dependencies';
import type { Timeline } from '../../timeline/timeline';
import { EVENT_TYPE, INCREMENTAL_STATE_CLEARED, ORDERING_EXPLICIT } from './descriptor';

/** A TracePacket, in the spelling of the protobuf library. */
export interface Packet {
  readonly timestamp?: bigint;
  readonly trustedPacketSequenceId: number;
  readonly sequenceFlags?: number;
  readonly trackDescriptor?: object;
  readonly trackEvent?: {
    readonly type: number;
    readonly trackUuid: bigint;
    readonly name?: string;
    readonly categories?: readonly string[];
    readonly debugAnnotations?: readonly object[];
    readonly flowIds?: readonly bigint[];
    readonly terminatingFlowIds?: readonly bigint[];
  };
}

const SEQUENCE_ID = 1;

/** @param timelines by the name that its process shall have */
export function tracePackets(timelines: Readonly<Record<string, Timeline>>, tracks: 'sm' | 'cta'): Packet[] {
  const descriptors: Packet[] = [];
  const events: Packet[] = [];
  let lastUuid = 0n;
  let lastFlow = 0n;
  Object.entries(timelines).forEach(([name, timeline], index) => {
    const flows = flowsOf(timeline, () => ++lastFlow);
    const processUuid = ++lastUuid;
    const pid = index + 1;
    descriptors.push(
      descriptor({ uuid: processUuid, process: { pid, processName: name }, childOrdering: ORDERING_EXPLICIT }),
    );
    tracksOf(timeline, tracks).forEach(({ label, spans }, rank) => {
      const uuid = ++lastUuid;
      descriptors.push(descriptor({ uuid, name: label, parentUuid: processUuid, siblingOrderRank: rank }));
      for (const span of spans) {
        const { out, into } = flows(span);
        events.push(
          {
            timestamp: timeOf(timeline.startNs[span]),
            trustedPacketSequenceId: SEQUENCE_ID,
            trackEvent: {
              type: EVENT_TYPE.sliceBegin,
              trackUuid: uuid,
              ...describeSpan(timeline, span),
              ...(out.length > 0 && { flowIds: out }),
              ...(into.length > 0 && { terminatingFlowIds: into }),
            },
          },
          {
            timestamp: timeOf(timeline.endNs[span]),
            trustedPacketSequenceId: SEQUENCE_ID,
            trackEvent: { type: EVENT_TYPE.sliceEnd, trackUuid: uuid },
          },
        );
      }
    });
  });
  if (descriptors.length > 0) descriptors[0] = { ...descriptors[0], sequenceFlags: INCREMENTAL_STATE_CLEARED };
  // A stable sort: where a slice ends as the next one begins, the end stays first, as it was put.
  events.sort((a, b) => Number((a.timestamp as bigint) - (b.timestamp as bigint)));
  return [...descriptors, ...events];
}

function descriptor(trackDescriptor: object): Packet {
  return { trustedPacketSequenceId: SEQUENCE_ID, trackDescriptor };
}

/** The format's clock has whole nanoseconds. */
function timeOf(ns: number): bigint {
  return BigInt(Math.round(ns));
}

interface Track {
  readonly label: string;
  /** In the order of their starts; none overlaps the one before. */
  readonly spans: readonly number[];
}

/**
 * Slices of one track must not overlap. An SM that holds several CTAs at a time gets as many tracks as it takes: each span goes
 * to the first one that is free.
 */
function tracksOf(timeline: Timeline, by: 'sm' | 'cta'): Track[] {
  const column = by === 'sm' ? timeline.sm : timeline.cta;
  const { startNs, endNs } = timeline;
  const order = Array.from(column.keys()).sort((a, b) => startNs[a] - startNs[b] || endNs[a] - endNs[b]);
  const lanes = new Map<number, { spans: number[]; freeNs: number }[]>();
  for (const span of order) {
    const tracks = lanes.get(column[span]) ?? [];
    lanes.set(column[span], tracks);
    const free = tracks.find(({ freeNs }) => freeNs <= startNs[span]);
    if (free) {
      free.spans.push(span);
      free.freeNs = endNs[span];
    } else {
      tracks.push({ spans: [span], freeNs: endNs[span] });
    }
  }
  const name = by === 'sm' ? 'SM' : 'CTA';
  return [...lanes.entries()]
    .sort(([a], [b]) => a - b)
    .flatMap(([label, tracks]) =>
      tracks.map(({ spans }, i) => ({ label: i === 0 ? `${name} ${label}` : `${name} ${label} (${i + 1})`, spans })),
    );
}

/** Flow ids that start at a span (a partial tile) and that end at it (a merge). */
function flowsOf(
  timeline: Timeline,
  nextId: () => bigint,
): (span: number) => { readonly out: readonly bigint[]; readonly into: readonly bigint[] } {
  const out = new Map<number, bigint[]>();
  const into = new Map<number, bigint[]>();
  const add = (flows: Map<number, bigint[]>, span: number, id: bigint): void => {
    const ids = flows.get(span);
    if (ids) ids.push(id);
    else flows.set(span, [id]);
  };
  for (const [merge, partials] of mergeDependencies(timeline)) {
    for (const partial of partials) {
      const id = nextId();
      add(out, partial, id);
      add(into, merge, id);
    }
  }
  return (span) => ({ out: out.get(span) ?? [], into: into.get(span) ?? [] });
}

/** The front end colours slices by their names: those of a request are alike. */
function describeSpan(
  timeline: Timeline,
  index: number,
): { name: string; categories: string[]; debugAnnotations: object[] } {
  const span = timeline.span(index);
  const whose = span.request < 0 ? 'several requests' : `request ${span.request}`;
  const facts: Record<string, number> = {
    [span.phase === 'merge' ? 'merge_group' : 'tile']: span.item,
    cta: span.cta,
    sm: span.sm,
    request: span.request,
    kv_head: span.kvHead,
    ...(span.phase === 'tile' && { kv_tokens: span.kvTokens }),
  };
  return {
    name: span.phase === 'merge' ? `merge of ${whose}` : whose,
    categories: [span.phase === 'merge' ? 'merge' : span.partial ? 'partial_tile' : 'tile'],
    debugAnnotations: Object.entries(facts).map(([name, value]) => ({ name, intValue: BigInt(value) })),
  };
}
