/**
 * The Perfetto export, read back by the numbers of the wire without a descriptor and, where
 * Python has the classes that Perfetto generates (`pip install perfetto`), by those.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { savePerfetto, toPerfetto } from '../../../src/lab/perfetto/perfetto';
import { machines } from '../../../src/schedule/machine';
import { policies } from '../../../src/schedule/policies/known';
import { makeProblem } from '../../../src/schedule/problem';
import { simulate } from '../../../src/simulate/simulate';
import { Timeline } from '../../../src/timeline/timeline';
import { timelineOf } from '../timeline/spans';

type Fields = Map<number, (number | bigint | Uint8Array)[]>;

/** Fields of a message by number, without any descriptor. */
function fieldsOf(bytes: Uint8Array): Fields {
  const reader = new BinaryReader(bytes);
  const fields: Fields = new Map();
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    const value =
      wire === WireType.Varint
        ? BigInt(reader.uint64())
        : wire === WireType.Bit64
          ? BigInt(reader.fixed64())
          : wire === WireType.LengthDelimited
            ? reader.bytes()
            : reader.fixed32();
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}
const text = (value: unknown) => new TextDecoder().decode(value as Uint8Array);
const message = (fields: Fields, number: number) => fieldsOf(fields.get(number)?.[0] as Uint8Array);

const SPLIT = timelineOf(3, [
  { cta: 0, sm: 7, item: 0, startNs: 0, endNs: 50.4, partial: true, kvTokens: 640 },
  { cta: 1, sm: 2, item: 1, startNs: 10, endNs: 70, partial: true, kvTokens: 512 },
  { cta: 1, sm: 2, item: 0, startNs: 70, endNs: 100, phase: 'merge' },
  { cta: 2, sm: 7, item: 2, startNs: 20, endNs: 30, request: 1 },
]);

describe('toPerfetto', () => {
  test('tracks, slices and flows by the public field numbers', () => {
    const packets = (fieldsOf(toPerfetto(SPLIT)).get(1) as Uint8Array[]).map(fieldsOf);
    const tracks = packets.filter((packet) => packet.has(60)).map((packet) => message(packet, 60));
    const events = packets.filter((packet) => packet.has(11));
    // The process first, then SM 2 and the two tracks of SM 7, where CTAs 0 and 2 overlap.
    expect(text(message(tracks[0], 3).get(6)?.[0])).toBe('measured');
    expect(tracks.slice(1).map((track) => text(track.get(2)?.[0]))).toEqual(['SM 2', 'SM 7', 'SM 7 (2)']);
    expect(new Set(tracks.map((track) => track.get(1)?.[0])).size).toBe(4);
    for (const track of tracks.slice(1)) expect(track.get(5)).toEqual(tracks[0].get(1));

    const times = events.map((packet) => Number(packet.get(8)?.[0]));
    expect(times).toEqual([0, 10, 20, 30, 50, 70, 70, 100]);
    const slices = events.map((packet) => message(packet, 11));
    const types = slices.map((slice) => Number(slice.get(9)?.[0]));
    expect(types).toEqual([1, 1, 1, 2, 2, 2, 1, 2]);
    const begins = slices.filter((_, i) => types[i] === 1);
    expect(begins.map((slice) => text(slice.get(23)?.[0]))).toEqual([
      'request 0',
      'request 0',
      'request 1',
      'merge of request 0',
    ]);
    expect(begins.map((slice) => text(slice.get(22)?.[0]))).toEqual(['partial_tile', 'partial_tile', 'tile', 'merge']);
    const merge = begins[3].get(48) as bigint[];
    expect([begins[0].get(47)?.[0], begins[1].get(47)?.[0]].sort()).toEqual([...merge].sort());
    const annotations = (begins[1].get(4) as Uint8Array[]).map(fieldsOf);
    expect(Object.fromEntries(annotations.map((a) => [text(a.get(10)?.[0]), Number(a.get(4)?.[0])]))).toEqual({
      tile: 1,
      cta: 1,
      sm: 2,
      request: 0,
      kv_head: 0,
      kv_tokens: 512,
    });
  });

  test('several timelines are processes of one trace, with flows of their own', () => {
    const bytes = toPerfetto({ simulated: SPLIT, measured: SPLIT }, { tracks: 'cta' });
    const packets = (fieldsOf(bytes).get(1) as Uint8Array[]).map(fieldsOf);
    const tracks = packets.filter((packet) => packet.has(60)).map((packet) => message(packet, 60));
    const processes = tracks.filter((track) => track.has(3)).map((track) => message(track, 3));
    expect(processes.map((process) => [text(process.get(6)?.[0]), Number(process.get(1)?.[0])])).toEqual([
      ['simulated', 1],
      ['measured', 2],
    ]);
    expect(tracks.filter((track) => track.has(2)).map((track) => text(track.get(2)?.[0]))).toEqual(
      ['CTA 0', 'CTA 1', 'CTA 2'].concat(['CTA 0', 'CTA 1', 'CTA 2']),
    );
    const flows = packets.flatMap((packet) => (packet.has(11) ? (message(packet, 11).get(47) ?? []) : []));
    expect(new Set(flows).size).toBe(4);
  });

  test('refuses what is no timeline', () => {
    expect(() => toPerfetto({})).toThrow('toPerfetto() wants a Timeline');
    expect(() => toPerfetto(null as never)).toThrow('toPerfetto() wants a Timeline');
    expect(() => toPerfetto({ a: 3 } as never)).toThrow('toPerfetto() wants a Timeline');
    expect(() => toPerfetto(SPLIT, { tracks: 'warp' as never })).toThrow("got tracks: 'warp'; wanted 'sm' or 'cta'");
    expect(toPerfetto(new Timeline('measured', 0, timelineOf(0, []))).length).toBeGreaterThan(0);
  });
});

const python = (() => {
  try {
    execFileSync('python3', ['-c', 'import perfetto.protos.perfetto.trace.perfetto_trace_pb2'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

const READ = `
import sys, json
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent
trace = Trace(); trace.ParseFromString(open(sys.argv[1], 'rb').read())
def unknown(message):
    from google.protobuf.unknown_fields import UnknownFieldSet
    count = len(UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in (value if field.is_repeated else [value]): count += unknown(part)
    return count
open_slices, starts, ends, deepest = {}, {}, {}, 0
for packet in trace.packet:
    if not packet.HasField('track_event'): continue
    event = packet.track_event
    if event.type == TrackEvent.TYPE_SLICE_BEGIN:
        open_slices[event.track_uuid] = open_slices.get(event.track_uuid, 0) + 1
        deepest = max(deepest, open_slices[event.track_uuid])
        for flow in event.flow_ids: starts[flow] = packet.timestamp
        for flow in event.terminating_flow_ids: ends[flow] = packet.timestamp
    elif event.type == TrackEvent.TYPE_SLICE_END:
        open_slices[event.track_uuid] -= 1
tracks = [p.track_descriptor for p in trace.packet if p.HasField('track_descriptor')]
print(json.dumps(dict(
    unknown=unknown(trace), tracks=len(tracks), names=[t.name for t in tracks if t.name][:2], process=tracks[0].process.process_name,
    unclosed=sum(open_slices.values()), deepest=deepest, events=sum(p.HasField('track_event') for p in trace.packet),
    flows=len(starts), same=sorted(starts) == sorted(ends), forward=all(starts[f] <= ends[f] for f in starts))))
`;

describe('savePerfetto', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'warpbook-perfetto-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const problem = makeProblem({ kvLens: [60_000, 500, 0, 9000], numQoHeads: 32, numKvHeads: 8, headDim: 128 });

  test('writes the bytes, and says which folder is missing', async () => {
    const timeline = simulate(policies.headGroups(problem, machines.h100));
    const path = join(folder, 'decode.pftrace');
    await savePerfetto(path, timeline);
    expect(new Uint8Array(readFileSync(path))).toEqual(toPerfetto(timeline));
    await expect(savePerfetto(join(folder, 'none', 'x.pftrace'), timeline)).rejects.toThrow("its folder doesn't exist");
  });

  // Perfetto's own classes are no dependency of the tests: skipped where Python lacks them.
  test.skipIf(!python)(
    "Perfetto's own classes read it: no unknown field, nothing open, flows whole (needs Python's perfetto)",
    () => {
      const schedule = policies.headGroups(problem, machines.h100);
      const timeline = simulate(schedule);
      const path = join(folder, 'own.pftrace');
      writeFileSync(path, toPerfetto({ simulated: timeline }));
      const read = JSON.parse(execFileSync('python3', ['-c', READ, path], { encoding: 'utf8' }));
      expect(read).toMatchObject({
        unknown: 0,
        process: 'simulated',
        unclosed: 0,
        deepest: 1,
        same: true,
        forward: true,
      });
      expect(read.events).toBe(2 * timeline.numSpans);
      expect(read.names).toEqual(['SM 0', 'SM 1']);
      expect(schedule.numMergeGroups).toBeGreaterThan(0);
      expect(read.flows).toBe(timeline.partial.reduce((sum, partial) => sum + partial, 0));
    },
  );
});
