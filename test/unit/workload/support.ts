import { RequestTrace } from '../../../src/workload/request-trace';

/** A trace of [arrivalNs, inputLength, outputLength] triples. */
export function traceOf(...rows: [arrivalNs: number, inputLength: number, outputLength: number][]): RequestTrace {
  const requests = rows.map(([arrivalNs, inputLength, outputLength], id) => ({
    id,
    arrivalNs,
    inputLength,
    outputLength,
  }));
  return new RequestTrace({ name: 'test', requests, source: 'a test', citation: 'none' });
}
