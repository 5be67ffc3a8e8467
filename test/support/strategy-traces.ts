/** Small traces for tests of strategies: lengths that differ, requests that join and leave. */
import { RequestTrace } from '../../src/workload/request-trace';

export function smallTrace(count = 30, options: { longest?: number; arrivalNs?: number } = {}): RequestTrace {
  const { longest = 300, arrivalNs = 1e6 } = options;
  const requests = Array.from({ length: count }, (_, id) => ({
    id,
    arrivalNs: id * arrivalNs,
    inputLength: 20 + ((id * 137) % longest),
    outputLength: 3 + ((id * 7) % 20),
  }));
  return new RequestTrace({ name: 'small', requests, source: 'a test', citation: 'none' });
}
