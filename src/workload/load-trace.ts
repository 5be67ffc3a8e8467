/** One call for "a request trace, whichever is at hand": a given path, else WARPBOOK_TRACES, else the generator. */
import { readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { WarpbookError } from '../errors';
import { readAzureTrace } from './azure-trace';
import { readMooncakeTrace } from './mooncake-trace';
import type { RequestTrace } from './request-trace';
import { syntheticTrace } from './synthetic';
import { statTrace, TRACE_HINT } from './trace-file';
import type { TraceKind } from './trace-statistics';

/** Options of {@link loadTrace}. */
export interface LoadTraceOptions {
  /** A trace file, or a folder that holds one; default: the environment variable WARPBOOK_TRACES. */
  path?: string;
  /** Which trace to take from a folder, or to imitate; default 'azure-conversation', for a file by its extension. */
  kind?: TraceKind;
  /** Seed of the generator, used where there is no file; default 0. */
  seed?: number;
  /** Number of requests that the generator makes, used where there is no file; default 2,000. */
  requests?: number;
}

const FORMATS: Readonly<
  Record<TraceKind, { extension: string; inFolder: RegExp; read: (path: string) => Promise<RequestTrace> }>
> = {
  'azure-conversation': {
    extension: '.csv',
    inFolder: /^AzureLLMInferenceTrace_conv.*\.csv$/i,
    read: readAzureTrace,
  },
  'mooncake-conversation': {
    extension: '.jsonl',
    inFolder: /^(mooncake_)?conversation.*\.jsonl$/i,
    read: readMooncakeTrace,
  },
};
const KINDS = Object.keys(FORMATS) as TraceKind[];

/**
 * Loads a request trace. In a folder the file is found by its name (`AzureLLMInferenceTrace_conv*.csv`,
 * `conversation*.jsonl` or `mooncake_conversation*.jsonl`; the first in alphabetical order where several fit).
 * With neither `path` nor WARPBOOK_TRACES the result is synthetic, and its `source` says so.
 * @throws WarpbookError FILE_NOT_FOUND, FILE_FORMAT, INVALID_ARGUMENT
 */
export async function loadTrace(options: LoadTraceOptions = {}): Promise<RequestTrace> {
  const { kind } = options;
  if (kind !== undefined && !KINDS.includes(kind)) {
    throw new WarpbookError('INVALID_ARGUMENT', `kind is '${kind}'; wanted one of ${KINDS.join(', ')}.`);
  }
  const path = options.path || process.env.WARPBOOK_TRACES;
  if (!path) return syntheticTrace({ kind, seed: options.seed, requests: options.requests });
  if ((await statTrace(path)) === 'directory') return loadFromFolder(path, kind ?? 'azure-conversation');

  const extension = extname(path).toLowerCase();
  const found = KINDS.find((candidate) => FORMATS[candidate].extension === extension);
  if (!found || (kind && kind !== found)) {
    const wanted = (kind ? [kind] : KINDS).map((k) => `${FORMATS[k].extension} (${k})`).join(' or ');
    throw new WarpbookError('INVALID_ARGUMENT', `'${path}' ends in '${extension}'; wanted a trace file in ${wanted}.`, {
      path,
    });
  }
  return FORMATS[found].read(path);
}

async function loadFromFolder(folder: string, kind: TraceKind): Promise<RequestTrace> {
  const { inFolder, read } = FORMATS[kind];
  const [name] = (await readdir(folder)).filter((entry) => inFolder.test(entry)).sort();
  if (name === undefined) {
    throw new WarpbookError('FILE_NOT_FOUND', `The folder '${folder}' holds no ${kind} trace. ${TRACE_HINT}`, {
      path: folder,
    });
  }
  return read(join(folder, name));
}
