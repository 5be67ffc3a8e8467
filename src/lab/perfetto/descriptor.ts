/**
 * The few messages of Perfetto's trace format that an export needs, with the field numbers of its public protobuf definition
 * (protos/perfetto/trace/perfetto_trace.proto, stable by its own promise). Fields that are not written are left out.
 */
import { createRequire } from 'node:module';
import type { DescMessage } from '@bufbuild/protobuf';

const requireHere = createRequire(__filename);

/** protobuf, loaded when the first trace is written: importing warpbook must stay quick. */
export function loadProtobuf(): typeof import('@bufbuild/protobuf') {
  return requireHere('@bufbuild/protobuf');
}

/** TrackEvent.Type */
export const EVENT_TYPE = { sliceBegin: 1, sliceEnd: 2 } as const;
/** TrackDescriptor.ChildTracksOrdering: by `siblingOrderRank`. */
export const ORDERING_EXPLICIT = 3;
/** TracePacket.SequenceFlags: what came before on this sequence may be forgotten. */
export const INCREMENTAL_STATE_CLEARED = 1;

/** google.protobuf.FieldDescriptorProto.Type */
const TYPE = { double: 1, int64: 3, uint64: 4, int32: 5, fixed64: 6, string: 9, message: 11, uint32: 13 } as const;
type FieldType = keyof typeof TYPE | `message ${string}` | `repeated ${string}`;

const PACKAGE = 'perfetto.protos';

/** Number and type of each field, by message. */
const MESSAGES: Readonly<Record<string, Readonly<Record<string, readonly [number: number, type: FieldType]>>>> = {
  Trace: { packet: [1, 'repeated message TracePacket'] },
  TracePacket: {
    timestamp: [8, 'uint64'],
    trusted_packet_sequence_id: [10, 'uint32'],
    track_event: [11, 'message TrackEvent'],
    sequence_flags: [13, 'uint32'],
    track_descriptor: [60, 'message TrackDescriptor'],
  },
  TrackDescriptor: {
    uuid: [1, 'uint64'],
    name: [2, 'string'],
    process: [3, 'message ProcessDescriptor'],
    parent_uuid: [5, 'uint64'],
    // An enumeration, which has the wire format of int32.
    child_ordering: [11, 'int32'],
    sibling_order_rank: [12, 'int32'],
  },
  ProcessDescriptor: { pid: [1, 'int32'], process_name: [6, 'string'] },
  TrackEvent: {
    debug_annotations: [4, 'repeated message DebugAnnotation'],
    // An enumeration too.
    type: [9, 'int32'],
    track_uuid: [11, 'uint64'],
    categories: [22, 'repeated string'],
    name: [23, 'string'],
    flow_ids: [47, 'repeated fixed64'],
    terminating_flow_ids: [48, 'repeated fixed64'],
  },
  DebugAnnotation: { int_value: [4, 'int64'], string_value: [6, 'string'], name: [10, 'string'] },
};

let traceMessage: DescMessage | undefined;

/** The message `Trace`. */
export function traceSchema(): DescMessage {
  traceMessage ??= describe();
  return traceMessage;
}

function describe(): DescMessage {
  const { create, createFileRegistry } = loadProtobuf();
  const { FileDescriptorProtoSchema } = requireHere(
    '@bufbuild/protobuf/wkt',
  ) as typeof import('@bufbuild/protobuf/wkt');
  const file = create(FileDescriptorProtoSchema, {
    name: 'perfetto_subset.proto',
    package: PACKAGE,
    syntax: 'proto2',
    messageType: Object.entries(MESSAGES).map(([name, fields]) => ({
      name,
      field: Object.entries(fields).map(([fieldName, [number, type]]) => {
        const repeated = type.startsWith('repeated ');
        const [kind, message] = type.replace('repeated ', '').split(' ') as [keyof typeof TYPE, string | undefined];
        return {
          name: fieldName,
          number,
          // LABEL_REPEATED and LABEL_OPTIONAL.
          label: repeated ? 3 : 1,
          type: TYPE[kind],
          ...(message && { typeName: `.${PACKAGE}.${message}` }),
        };
      }),
    })),
  });
  const message = createFileRegistry(file, () => undefined).getMessage(`${PACKAGE}.Trace`);
  if (!message) throw new Error('the descriptor has no message Trace');
  return message;
}
