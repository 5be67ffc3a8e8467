/** The attention wrappers with their plans, caches and page tables: how full they are and what they decided. */
import type { BatchAttention } from '../attention/batch-attention';
import type { PageTable } from '../attention/page-table';
import type { PagedKvCache } from '../attention/paged-kv';
import { type DevicePlan, Plan } from '../attention/plan';
import type { MimeBundle, RenderOptions } from '../renderers';
import { formatBytes, formatCount, formatDuration } from '../units';
import { factsBundle, shareBar } from './facts';
import { gantt } from './gantt';
import { table } from './table';

/** The Gantt of the plan's schedule, with what the plan costs. */
export function planBundle(plan: Plan, options: RenderOptions): Promise<MimeBundle> {
  const { schedule, cost } = plan;
  const decisions = Object.entries(schedule.decisions).map(([name, value]) => `${name} ${value}`);
  const note = [
    ...decisions,
    ...(schedule.partialBytes > 0 ? [`partial states ${formatBytes(schedule.partialBytes)}`] : []),
    `planned in ${formatDuration(cost.policyNs + cost.packNs)}`,
    `${formatBytes(cost.uploadedBytes)} uploaded`,
  ].join(' · ');
  return gantt(schedule, { title: `Plan ${plan.id}: ${schedule.policy}`, note }).bundle(options);
}

/** A plan on the device: what is known of it without reading it back. */
export function devicePlanBundle(plan: DevicePlan, options: RenderOptions): MimeBundle {
  return factsBundle(
    `Plan ${plan.id}: ${plan.policy}, on the device`,
    [
      ['requests', `up to ${formatCount(plan.maxRequests)}`],
      ['query tokens', `${formatCount(plan.qoLen)} each`],
      ['schedule', 'in device memory: await plan.readSchedule()'],
    ],
    [],
    options,
  );
}

export function cacheBundle(cache: PagedKvCache, options: RenderOptions): MimeBundle {
  const { numUsedPages: used, numFreePages: free } = cache;
  const tokens = cache.numPages * cache.pageSize;
  return factsBundle(
    `PagedKvCache on device ${cache.device.name}`,
    [
      ['pages', `${formatCount(used)} used, ${formatCount(free)} free  ${shareBar(used, cache.numPages)}`],
      ['page', `${formatCount(cache.pageSize)} tokens, ${cache.layout}`],
      ['capacity', `${formatCount(tokens)} tokens, ${formatBytes(cache.byteLength)}`],
      ['requests', formatCount(cache.numRequests)],
      ['heads', `${cache.numKvHeads} KV heads × head_dim ${cache.headDim}`],
      ['dtype', cache.dtype],
    ],
    [],
    options,
  );
}

/** A wrapper: what it computes, what it can hold, and the plan that its next run follows. */
export function wrapperBundle(wrapper: BatchAttention, options: RenderOptions): MimeBundle {
  const { variant, capacity, machine, currentPlan } = wrapper;
  const masks = [
    ...(variant.causal ? ['causal'] : []),
    ...(variant.windowLeft >= 0 ? [`window ${formatCount(variant.windowLeft)} tokens`] : []),
    ...(variant.logitsSoftCap > 0 ? [`soft cap ${variant.logitsSoftCap}`] : []),
    ...(variant.alibi ? ['ALiBi'] : []),
    ...(variant.sinks ? ['attention sinks'] : []),
  ];
  return factsBundle(
    `${wrapper.constructor.name} on device ${wrapper.device.name}`,
    [
      ['heads', `${variant.numQoHeads} query, ${variant.numKvHeads} KV × head_dim ${variant.headDim}`],
      ['dtypes', `queries ${variant.dtype}, keys and values ${variant.kvDtype}`],
      ['mask', masks.length > 0 ? masks.join(', ') : 'none'],
      ['machine', `${machine.name}, ${formatCount(capacity.maxCtas)} CTAs`],
      [
        'capacity',
        `${formatCount(capacity.maxBatch)} requests, ${formatCount(capacity.maxQoTokens)} query tokens, ` +
          `${formatCount(capacity.maxPages)} pages, ${formatCount(capacity.maxTiles)} tiles`,
      ],
      ['trace', wrapper.traced ? 'recorded' : 'off'],
      ['plan', planText(currentPlan)],
    ],
    [],
    options,
  );
}

function planText(plan: Plan | DevicePlan | undefined): string {
  if (!plan) return 'none yet: call plan()';
  return plan instanceof Plan ? plan.schedule.toString() : plan.toString();
}

export function pageTableBundle(pages: PageTable, options: RenderOptions): MimeBundle {
  const rows = Array.from({ length: pages.batchSize }, (_, request) => ({
    request: String(request),
    'KV tokens': pages.kvLens[request],
    pages: pages.pagedKvIndptr[request + 1] - pages.pagedKvIndptr[request],
    'last page': pages.pagedKvLastPageLen[request],
  }));
  const units = { 'last page': 'tokens' };
  return table(rows, { title: pages.toString(), units, maxRows: 20 }).bundle(options);
}
