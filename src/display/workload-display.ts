/** Request traces: where they come from, and how long their requests are. */
import type { MimeBundle, RenderOptions } from '../renderers';
import { formatCount, formatDuration } from '../units';
import type { RequestTrace } from '../workload/request-trace';
import { factsBundle } from './facts';
import { table } from './table';

export function traceBundle(trace: RequestTrace, options: RenderOptions): MimeBundle {
  const facts = [
    ['requests', formatCount(trace.length)],
    ['duration', formatDuration(trace.durationNs)],
    ['source', trace.source],
    ['citation', trace.citation],
  ] as const;
  return factsBundle(`Request trace ${trace.name}`, facts, [table(trace.summarize())], options);
}
