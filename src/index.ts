/** Every public name of warpbook, and nothing else. */
import { registerDisplays } from './display/register';

export { alibiSlopes } from './attention/alibi';
export type { AppendPlaces } from './attention/append-kv';
export type {
  AttentionResult,
  BatchAttentionOptions,
  DevicePlanOptions,
  DeviceStatus,
  PlanOptions,
  RunOptions,
} from './attention/batch-attention';
export { BatchDecode, type DecodePlanOptions } from './attention/batch-decode';
export { BatchPrefill, type BatchPrefillOptions } from './attention/batch-prefill';
export type { CapacityOptions, WrapperCapacity } from './attention/capacity';
export type { DevicePolicy } from './attention/device-plan';
export type { RaggedKv } from './attention/kv-operand';
export {
  type InPlaceMergeOptions,
  type MergeOptions,
  mergeState,
  mergeStateInPlace,
  mergeStates,
} from './attention/merge-states';
export { type DeviceKind, openDevice, useDevice } from './attention/open-device';
export { PageTable, type PageTableOptions } from './attention/page-table';
// Attention
export { type KvLayout, PagedKvCache, type PagedKvCacheOptions } from './attention/paged-kv';
export { DevicePlan, Plan, type PlanCost } from './attention/plan';
export { type ReferenceInput, type ReferenceResult, reference, referenceAttention } from './attention/reference';
export type { AttentionVariant, AttentionVariantOptions, KvDType, QueryDType } from './attention/variant';
export type {
  BackendDescription,
  CtaOverrides,
  GraphNodeDescription,
  ParameterPlace,
  ProgramInfo,
  ProgramOptions,
} from './device/backend';
export type { Buffer } from './device/buffer';
// Devices, memory and ordering
export { type Device, type DeviceOptions, defaultDevice } from './device/device';
export type { Event } from './device/event';
export type { CompileOptions } from './device/kernel/compile-kernel';
export { Kernel, type KernelLaunch, type Occupancy } from './device/kernel/kernel';
export type { CtaShape, Extent } from './device/kernel/launch-shape';
export type { BufferPlace, KernelArgument, TensorLike } from './device/kernel/pack-arguments';
export type { KernelParameter } from './device/kernel/signature';
export type { MemoryOwner, MemoryReport } from './device/memory';
export { CompilationError, type CompilerProblem } from './device/programs/compilation-error';
export { loadPrograms } from './device/programs/load-programs';
export type { ProgramSource } from './device/programs/program-source';
export { scope } from './device/scope';
export type { Stream } from './device/stream';
export type { Telemetry } from './device/telemetry';
// Displays
export { Chart } from './display/chart';
export { type GanttOptions, gantt } from './display/gantt';
export { latencyChart } from './display/measure-display';
export { saturationChart } from './display/prediction-display';
export { type Progress, progress } from './display/progress';
export { type Table, type TableOptions, table } from './display/table';
export { type ErrorCode, WarpbookError } from './errors';
export { capture } from './graph/capture';
export type { Graph } from './graph/graph';
export type { GraphExec, GraphMemory } from './graph/graph-exec';
export { interruptSignal, throwIfInterrupted } from './interruption';
// Calibration
export {
  type CalibrateOptions,
  type CalibrateProgress,
  type Calibration,
  calibrate,
  calibrateDevice,
} from './lab/calibrate-run';
export { costModelFor, readCostModel, writeCostModel } from './lab/calibration-store';
export { gpuKernelHash, kernelHash } from './lab/kernel-hash';
// Measuring
export type { Measured } from './measure/chain';
export { type CompareOptions, compare, Verdict } from './measure/compare';
export type { JudgeOptions, VerdictWord } from './measure/judge';
export { type MeasureOptions, measure } from './measure/measure';
export { Measurement, type Roof, type StoppedBy } from './measure/measurement';
export { type MeasureProgress, onMeasuring } from './measure/progress';
export { type MeasuredRoof, measureRoof, type RoofOptions } from './measure/roof';
export type { Spread } from './measure/statistics';
export { clearOutput, display } from './notebook/display';
export { confirm, type PromptOptions, prompt } from './notebook/prompt';
export { type BuilderOptions, ScheduleBuilder } from './schedule/builder';
export type { Dealing } from './schedule/deal';
export { type ScheduleCapacity, type WorkspaceLayout, workspaceLayout } from './schedule/layout';
export { cpuMachine, type Machine, machines, numCtaSlots, type TileClass } from './schedule/machine';
export { largestCapacity, packSchedule, requiredCapacity } from './schedule/pack';
export { policies } from './schedule/policies/known';
// Schedules
export { type AttentionProblem, makeProblem, type ProblemOptions } from './schedule/problem';
export type { QueryTile } from './schedule/query-tiles';
export { type RunPolicyOptions, runPolicy } from './schedule/run-policy';
export { type Policy, Schedule, type ScheduleTables, type TileView } from './schedule/schedule';
export type { TableCounts, TableSource } from './schedule/table-source';
export { findViolation, type ValidateOptions, validate } from './schedule/validate';
export {
  KV_SEQUENCE,
  KV_SEQUENCE_STRIDE,
  MERGE_GROUP,
  MERGE_GROUP_STRIDE,
  ROW,
  ROW_STRIDE,
  SEGMENT,
  SEGMENT_STRIDE,
  TILE,
  TILE_FLAG,
  TILE_STRIDE,
} from './schedule/work-tile';
// Predictions
export {
  type CostModel,
  type KernelCost,
  type KernelKind,
  type ModelUse,
  requireModelFor,
  type SaturationCurve,
} from './simulate/cost-model';
export { costModels } from './simulate/cost-models';
export { Prediction } from './simulate/prediction';
export { rooflineModel } from './simulate/roofline';
export { predict, predictedCost, type SimulateOptions, simulate } from './simulate/simulate';
export * from './tensor/compare';
export * from './tensor/create';
// Tensors
export type { DType } from './tensor/dtype';
export { loadNpy, saveNpy } from './tensor/npy';
export * from './tensor/random';
export { loadSafetensors, saveSafetensors } from './tensor/safetensors';
export { Tensor } from './tensor/tensor';
export type { TimelineStats } from './timeline/stats';
export { type Span, Timeline } from './timeline/timeline';
export { formatBytes, formatCount, formatDuration } from './units';
export { readAzureTrace } from './workload/azure-trace';
export { type LoadTraceOptions, loadTrace } from './workload/load-trace';
export { readMooncakeTrace } from './workload/mooncake-trace';
// Workloads
export { type Request, RequestTrace, type TraceSummaryRow } from './workload/request-trace';
export {
  type BatchSnapshot,
  type RunningRequest,
  type SnapshotOptions,
  snapshot,
  snapshots,
} from './workload/snapshot';
export { type SyntheticTraceOptions, syntheticTrace } from './workload/synthetic';

registerDisplays();
