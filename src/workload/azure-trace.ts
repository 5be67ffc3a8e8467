/** Reads the Azure LLM inference traces (2023 and 2024): CSV with one request a line. */

import { basename } from 'node:path';
import { CsvError, parse } from 'csv-parse';
import { type Request, RequestTrace } from './request-trace';
import { cutShortHint, openTrace, quoteFound, shorten, traceFormatError } from './trace-file';

export const AZURE_CITATION: string =
  'P. Patel et al., Splitwise: Efficient Generative LLM Inference Using Phase Splitting, ISCA 2024; ' +
  'Azure LLM inference trace 2023, Azure/AzurePublicDataset, CC-BY 4.0';

const COLUMNS = ['TIMESTAMP', 'ContextTokens', 'GeneratedTokens'] as const;
type Row = Readonly<Record<(typeof COLUMNS)[number], string>>;

// The 2023 files write `2023-11-16 18:15:46.6805900`, the 2024 ones `2024-05-10 00:00:00.009930+00:00`.
const TIMESTAMP = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(?:Z|\+00:00)?$/;

/**
 * Reads a trace in the form of AzureLLMInferenceTrace_conv.csv: the columns TIMESTAMP (UTC), ContextTokens and
 * GeneratedTokens. Arrivals are counted from the first request.
 * @param path the CSV file
 * @throws WarpbookError FILE_NOT_FOUND; FILE_FORMAT naming the file, the line, what was wanted and what was got
 */
export async function readAzureTrace(path: string): Promise<RequestTrace> {
  const fail = (line: number, problem: string, cause?: unknown): Error => traceFormatError(path, line, problem, cause);
  let headerError: Error | undefined;
  const checkHeader = (header: string[]): string[] => {
    const missing = COLUMNS.filter((column) => !header.includes(column));
    if (missing.length > 0) {
      headerError = fail(1, `the header is ${quoteFound(header.join(','))}; wanted the columns ${COLUMNS.join(', ')}.`);
      throw headerError;
    }
    return header;
  };
  const parser = parse({ columns: checkHeader, info: true, bom: true, skip_empty_lines: true });
  const file = await openTrace(path);
  file.on('error', (error) => parser.destroy(error));
  file.pipe(parser);

  const requests: Request[] = [];
  let firstNs = 0n;
  let previousNs = 0;
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: Row; info: { lines: number } }>) {
      const line = info.lines;
      const timeNs = parseTimestamp(record.TIMESTAMP);
      if (timeNs === undefined) {
        throw fail(
          line,
          `TIMESTAMP is ${quoteFound(record.TIMESTAMP)}; wanted a UTC time like 2023-11-16 18:15:46.68059.`,
        );
      }
      if (requests.length === 0) firstNs = timeNs;
      const arrivalNs = Number(timeNs - firstNs);
      if (arrivalNs < previousNs) {
        throw fail(
          line,
          `TIMESTAMP ${record.TIMESTAMP} is before the one above it; wanted rows in the order of arrival.`,
        );
      }
      previousNs = arrivalNs;
      const tokens = (column: 'ContextTokens' | 'GeneratedTokens'): number => {
        if (!/^\d{1,9}$/.test(record[column])) {
          throw fail(line, `${column} is ${quoteFound(record[column])}; wanted a whole number of tokens.`);
        }
        return Number(record[column]);
      };
      requests.push({
        id: requests.length,
        arrivalNs,
        inputLength: tokens('ContextTokens'),
        outputLength: tokens('GeneratedTokens'),
      });
    }
  } catch (error) {
    if (headerError) throw headerError;
    if (!(error instanceof CsvError)) throw error;
    const line = Number(error.lines ?? 1);
    const hint = await cutShortHint(path, line);
    throw fail(line, `not a valid CSV row: ${shorten(error.message.replace(/\.$/, ''), 200)}.${hint}`, error);
  } finally {
    file.destroy();
  }
  if (requests.length === 0)
    throw fail(1, `no request; wanted the columns ${COLUMNS.join(', ')} and at least one row.`);
  return new RequestTrace({ name: basename(path, '.csv'), requests, source: path, citation: AZURE_CITATION });
}

/** Nanoseconds since 1970, or undefined for a text that is no time. */
function parseTimestamp(text: string): bigint | undefined {
  const match = TIMESTAMP.exec(text);
  if (!match) return undefined;
  const milliseconds = Date.parse(`${match[1]}T${match[2]}Z`);
  if (Number.isNaN(milliseconds)) return undefined;
  return BigInt(milliseconds) * 1_000_000n + BigInt((match[3] ?? '').padEnd(9, '0'));
}
