/**
 * Timelines as Perfetto traces, for https://ui.perfetto.dev: `toPerfetto` gives the bytes, `savePerfetto` a file. The Timeline
 * itself stays free of packages, so these are functions.
 */
import { writeFile } from 'node:fs/promises';
import { WarpbookError } from '../../errors';
import { Timeline } from '../../timeline/timeline';
import { loadProtobuf, traceSchema } from './descriptor';
import { tracePackets } from './packets';

/** Options of {@link savePerfetto} and {@link toPerfetto}. */
export interface PerfettoOptions {
  /** A track for each SM (default; CPU device: thread), or for each CTA. */
  readonly tracks?: 'sm' | 'cta';
}

/**
 * Encodes one timeline, or several by name (a process each), as a Perfetto trace: tracks of SMs, a slice for each tile and merge
 * with its request, KV head and tokens, arrows from partial tiles to their merges. Times are rounded to nanoseconds.
 * @returns a serialized perfetto.protos.Trace
 * @throws WarpbookError INVALID_ARGUMENT for anything but timelines
 */
export function toPerfetto(
  timelines: Timeline | Readonly<Record<string, Timeline>>,
  options: PerfettoOptions = {},
): Uint8Array {
  const { tracks = 'sm' } = options;
  if (tracks !== 'sm' && tracks !== 'cta') {
    throw new WarpbookError('INVALID_ARGUMENT', `toPerfetto() got tracks: '${tracks}'; wanted 'sm' or 'cta'.`);
  }
  const named = timelines instanceof Timeline ? { [timelines.source]: timelines } : timelines;
  const values = typeof named === 'object' && named !== null ? Object.values(named) : [];
  if (values.length === 0 || !values.every((value) => value instanceof Timeline)) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      'toPerfetto() wants a Timeline, or several by name: { simulated: simulate(schedule), measured: await decode.timeline() }.',
    );
  }
  const { create, toBinary } = loadProtobuf();
  const schema = traceSchema();
  return toBinary(schema, create(schema, { packet: tracePackets(named, tracks) } as Record<string, unknown>));
}

/**
 * Writes {@link toPerfetto} to a file; open it in https://ui.perfetto.dev (the page reads it locally).
 * @param path customarily ends in `.pftrace`
 * @throws WarpbookError FILE_NOT_FOUND where the folder doesn't exist; as {@link toPerfetto}
 */
export async function savePerfetto(
  path: string,
  timelines: Timeline | Readonly<Record<string, Timeline>>,
  options: PerfettoOptions = {},
): Promise<void> {
  const bytes = toPerfetto(timelines, options);
  try {
    await writeFile(path, bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new WarpbookError(
      'FILE_NOT_FOUND',
      `Can't write ${path}: its folder doesn't exist; make it first.`,
      { file: path },
      { cause: error },
    );
  }
}
