/** Every public name of warpbook, and nothing else. */
import { registerDisplays } from './display/register';

export { WarpbookError, type ErrorCode } from './errors';
export { formatBytes, formatCount, formatDuration } from './units';

// Devices, memory and ordering
export { type Device, type DeviceOptions, defaultDevice, openDevice } from './device/device';
export type { BackendDescription, GraphNodeDescription } from './device/backend';
export type { Buffer } from './device/buffer';
export type { Event } from './device/event';
export type { MemoryOwner, MemoryReport } from './device/memory';
export type { Stream } from './device/stream';
export { scope } from './device/scope';
export { capture } from './graph/capture';
export type { Graph } from './graph/graph';
export type { GraphExec } from './graph/graph-exec';

// Tensors
export type { DType } from './tensor/dtype';
export { Tensor } from './tensor/tensor';
export * from './tensor/create';
export * from './tensor/compare';
export * from './tensor/random';
export { loadNpy, saveNpy } from './tensor/npy';
export { loadSafetensors, saveSafetensors } from './tensor/safetensors';

// Workloads
export { type Request, RequestTrace, type TraceSummaryRow } from './workload/request-trace';
export { type LoadTraceOptions, loadTrace } from './workload/load-trace';
export { readAzureTrace } from './workload/azure-trace';
export { readMooncakeTrace } from './workload/mooncake-trace';
export { type SyntheticTraceOptions, syntheticTrace } from './workload/synthetic';
export { type BatchSnapshot, type RunningRequest, type SnapshotOptions, snapshot, snapshots } from './workload/snapshot';

// Schedules
export { type AttentionProblem, type ProblemOptions, makeProblem } from './schedule/problem';
export { type Machine, type TileClass, cpuMachine, machines, numCtaSlots } from './schedule/machine';
export { type Policy, Schedule, type TileView } from './schedule/schedule';
export { type BuilderOptions, type QueryTile, ScheduleBuilder } from './schedule/builder';
export type { Dealing } from './schedule/deal';
export { policies } from './schedule/policies/known';
export { runPolicy } from './schedule/run-policy';
export { findViolation, validate } from './schedule/validate';
export { type ScheduleCapacity, type WorkspaceLayout, workspaceLayout } from './schedule/layout';
export { largestCapacity, packSchedule, requiredCapacity } from './schedule/pack';
export { type Span, Timeline } from './timeline/timeline';
export type { TimelineStats } from './timeline/stats';

// Attention
export { type KvLayout, PagedKvCache, type PagedKvCacheOptions } from './attention/paged-kv';
export { PageTable, type PageTableOptions } from './attention/page-table';
export type { AttentionResult, BatchAttentionOptions, PlanOptions, RunOptions } from './attention/batch-attention';
export { BatchDecode, type DecodePlanOptions } from './attention/batch-decode';
export { BatchPrefill, type BatchPrefillOptions, type RaggedKv } from './attention/batch-prefill';
export type { CapacityOptions, WrapperCapacity } from './attention/capacity';
export type { AttentionVariant, AttentionVariantOptions, KvDType, QueryDType } from './attention/variant';
export { Plan, type PlanCost } from './attention/plan';
export { type ReferenceInput, type ReferenceResult, reference, referenceAttention } from './attention/reference';

// Displays
export { Chart } from './display/chart';
export { type GanttOptions, gantt } from './display/gantt';
export { type Table, type TableOptions, table } from './display/table';
export { type Progress, progress } from './display/progress';
export { clearOutput, display } from './notebook/display';

registerDisplays();
