/** Reads the Mooncake traces: JSON Lines with one request a line, and which prompt prefixes are shared. */
import { basename } from 'node:path';
import { type Request, RequestTrace, TRACE_HASH_TOKENS } from './request-trace';
import { cutShortHint, quoteFound, traceFormatError, traceLines } from './trace-file';

export const MOONCAKE_CITATION: string =
  'R. Qin et al., Mooncake: Trading More Storage for Less Computation, a KVCache-centric Architecture for Serving ' +
  'LLM Chatbot, FAST 2025; kvcache-ai/Mooncake, Apache-2.0';

/**
 * Reads a trace in the form of Mooncake's conversation_trace.jsonl: `timestamp` (ms), `input_length`,
 * `output_length` (tokens) and `hash_ids` (one for each 512 prompt tokens begun). Other fields are ignored.
 * @param path the JSONL file
 * @throws WarpbookError FILE_NOT_FOUND; FILE_FORMAT naming the file, the line, what was wanted and what was got
 */
export async function readMooncakeTrace(path: string): Promise<RequestTrace> {
  const requests: Request[] = [];
  let line = 0;
  let firstMs = 0;
  let previousNs = 0;
  for await (const text of traceLines(path)) {
    line++;
    if (text.trim() === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      const problem = `not JSON (${(cause as Error).message}); wanted one object a line.${await cutShortHint(path, line)}`;
      throw traceFormatError(path, line, problem, cause);
    }
    const row = checkRow(path, line, value);
    const timestampMs = row.number('timestamp');
    if (requests.length === 0) firstMs = timestampMs;
    const arrivalNs = Math.round((timestampMs - firstMs) * 1e6);
    if (arrivalNs < previousNs) {
      throw traceFormatError(path, line, `timestamp ${timestampMs} is before the one above it; wanted rising times.`);
    }
    previousNs = arrivalNs;
    const inputLength = row.count('input_length');
    requests.push({
      id: requests.length,
      arrivalNs,
      inputLength,
      outputLength: row.count('output_length'),
      hashIds: row.hashIds(inputLength),
    });
  }
  if (requests.length === 0) throw traceFormatError(path, 1, 'no request; wanted one JSON object a line.');
  return new RequestTrace({ name: basename(path, '.jsonl'), requests, source: path, citation: MOONCAKE_CITATION });
}

interface Row {
  number(field: string): number;
  count(field: string): number;
  hashIds(inputLength: number): number[];
}

function checkRow(path: string, line: number, value: unknown): Row {
  const fail = (problem: string): Error => traceFormatError(path, line, problem);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw fail(`got ${quoteFound(value)}; wanted an object with timestamp, input_length, output_length, hash_ids.`);
  }
  const fields = value as Record<string, unknown>;
  const isCount = (found: unknown): found is number => Number.isInteger(found) && (found as number) >= 0;
  return {
    number(field) {
      const found = fields[field];
      if (typeof found !== 'number' || found < 0) {
        throw fail(`${field} is ${quoteFound(found)}; wanted a number of at least 0.`);
      }
      return found;
    },
    count(field) {
      const found = fields[field];
      if (!isCount(found) || found >= 2 ** 31) {
        throw fail(`${field} is ${quoteFound(found)}; wanted a whole number of tokens.`);
      }
      return found;
    },
    hashIds(inputLength) {
      const found = fields.hash_ids;
      if (!Array.isArray(found) || !found.every(isCount)) {
        throw fail(`hash_ids is ${quoteFound(found)}; wanted an array of whole numbers.`);
      }
      const wanted = Math.ceil(inputLength / TRACE_HASH_TOKENS);
      if (found.length !== wanted) {
        throw fail(
          `hash_ids has ${found.length} entries; wanted ${wanted}, one for each ${TRACE_HASH_TOKENS} of the ` +
            `${inputLength} input tokens begun.`,
        );
      }
      return found;
    },
  };
}
