/** Every public name of warpbook, and nothing else. */
import { registerDisplays } from './display/register';

export { alibiSlopes } from './attention/alibi';
export type { AppendOptions, AppendPlaces } from './attention/append-kv';
export { BatchDecode, type DecodePlanOptions } from './attention/batch-decode';
export type {
  AttentionResult,
  BatchAttentionOptions,
  DevicePlanOptions,
  DeviceStatus,
  PlanOptions,
  RunOptions,
} from './attention/batch-options';
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
export { type KvLayout, PagedKvCache, type PagedKvCacheOptions } from './attention/paged-kv';
export { DevicePlan, Plan, type PlanCost } from './attention/plan';
export {
  type ReferenceInput,
  type ReferenceResult,
  type ReferenceVariant,
  reference,
  referenceAttention,
} from './attention/reference';
export type { AttentionVariant, AttentionVariantOptions, KvDType, QueryDType } from './attention/variant';
export type {
  BackendDescription,
  ChildKernel,
  ConditionKind,
  CtaOverrides,
  GraphNodeDescription,
  ParameterPlace,
  ProgramInfo,
  ProgramOptions,
} from './device/backend';
export type { Buffer, RangeOptions } from './device/buffer';
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
export { Chart, type PictureOptions } from './display/chart';
export { type GanttOptions, gantt } from './display/gantt';
export type { GanttColor } from './display/gantt-model';
export { type HeatmapOptions, idleHeatmap } from './display/heatmap';
export { type LatencyBandsOptions, type LatencyPoint, latencyBands } from './display/latency-bands';
export { latencyChart, sampleChart } from './display/latency-chart';
export { leaderboardChart, predictionChart } from './display/leaderboard-display';
export { type LiveChart, liveChart } from './display/live-chart';
export { type MemoryChartOptions, memoryChart } from './display/memory-chart';
export { saturationChart } from './display/prediction-display';
export { type Progress, type ProgressOptions, progress } from './display/progress';
export { type RooflineOptions, roofline } from './display/roofline';
export { type SplitHistogramOptions, splitHistogram } from './display/split-histogram';
export { graphMemoryChart, paddingChart, stepTimeChart } from './display/strategy-display';
export { type Table, type TableOptions, table } from './display/table';
export { finishChart, idleChart, rateChart } from './display/timeline-charts';
export { type OverlayOptions, overlay } from './display/timeline-overlay';
export type { ChartTheme, VegaLiteSpec } from './display/vega-theme';
export { type ErrorCode, WarpbookError } from './errors';
export { capture } from './graph/capture';
export type { Graph, InstantiateOptions } from './graph/graph';
export type { GraphExec, GraphMemory } from './graph/graph-exec';
export { interruptSignal, throwIfInterrupted } from './interruption';
export type { LabBatch, ModelShape, TraceWorkload, Workload } from './lab/batches';
export {
  type CalibrateOptions,
  type CalibrateProgress,
  type Calibration,
  calibrate,
  calibrateDevice,
} from './lab/calibrate-run';
export { costModelFor, readCostModel, writeCostModel } from './lab/calibration-store';
export { type CompareStrategiesOptions, compareStrategies, type StrategyChoice } from './lab/compare-strategies';
export { DecodeLoop, type DecodeLoopOptions } from './lab/decode-loop';
export type { BatchEvaluation } from './lab/evaluate';
export { gpuKernelHash, kernelHash } from './lab/kernel-hash';
export { Leaderboard, type LeaderboardOptions, leaderboard } from './lab/leaderboard';
export { type PerfettoOptions, savePerfetto, toPerfetto } from './lab/perfetto/perfetto';
export { knownPolicies, type PolicyChoice, type PolicySet, policyByName } from './lab/policy-set';
export { type LabProgress, onLabProgress } from './lab/progress';
export type { LeaderboardRow } from './lab/rank';
export { type Savable, saveTable } from './lab/save-table';
export {
  type Agreement,
  type ComparisonRow,
  type ModelFacts,
  type Percentiles,
  type SkippedStrategy,
  StrategyComparison,
  type StrategyResult,
} from './lab/strategy-comparison';
export type { StepRecord } from './lab/strategy-run';
export { type AttentionAxes, type AttentionSweepOptions, sweepAttention } from './lab/sweep/attention';
export type { AttentionPoint } from './lab/sweep/attention-point';
export type { Axes, Json } from './lab/sweep/points';
export { Sweep, type SweepContext, type SweepModule, type SweepOptions, sweep } from './lab/sweep/sweep';
export type { DataTable, TableExpression, TableRow } from './lab/tables';
export type { Measured } from './measure/chain';
export { type CompareOptions, compare, Verdict } from './measure/compare';
export type { JudgeOptions, VerdictWord } from './measure/judge';
export { type MeasureOptions, measure } from './measure/measure';
export { Measurement, type Roof, type StoppedBy } from './measure/measurement';
export { type MeasureProgress, onMeasuring } from './measure/progress';
export { type MeasuredRoof, measureRoof, type RoofOptions } from './measure/roof';
export type { Spread } from './measure/statistics';
export { clearOutput, type DisplayHandle, display } from './notebook/display';
export { confirm, type PromptOptions, prompt } from './notebook/prompt';
export type { MimeBundle } from './renderers';
export { type BuilderOptions, ScheduleBuilder } from './schedule/builder';
export type { Dealing } from './schedule/deal';
export {
  countTiles,
  countTokens,
  type KvRange,
  type PackOptions,
  packByLeastLoad,
  splitEvenly,
} from './schedule/helpers';
export { type ScheduleCapacity, type WorkspaceLayout, workspaceLayout } from './schedule/layout';
export { cpuMachine, type Machine, machines, numCtaSlots, type TileClass } from './schedule/machine';
export { largestCapacity, packSchedule, requiredCapacity } from './schedule/pack';
export type { AutoOptions } from './schedule/policies/auto';
export type { CascadeOptions } from './schedule/policies/cascade';
export type { ConfigurablePolicy } from './schedule/policies/configurable';
export type { DynamicOptions } from './schedule/policies/dynamic';
export type { Fa3HeuristicOptions } from './schedule/policies/fa3-heuristic';
export type { Fa3VarlenOptions } from './schedule/policies/fa3-varlen';
export { policies } from './schedule/policies/known';
export type { LongestFirstByHeadGroupsOptions } from './schedule/policies/longest-first-by-head-groups';
export type { MixedOptions } from './schedule/policies/mixed';
export type { OracleOptions } from './schedule/policies/oracle';
export type { StreamKOptions } from './schedule/policies/stream-k';
export { PolicyError } from './schedule/policy-error';
export { type BlockLists, findSharedPrefixes, type SharedPrefix } from './schedule/prefixes';
export { type AttentionProblem, kvBytes, makeProblem, type ProblemOptions } from './schedule/problem';
export type { QueryTile } from './schedule/query-tiles';
export { type RunPolicyOptions, runPolicy } from './schedule/run-policy';
export { type Policy, Schedule, type ScheduleTables, type TileView } from './schedule/schedule';
export type { TableCounts, TableSource } from './schedule/table-source';
export { type TileWork, tileWork } from './schedule/tile-work';
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
export type { PrefillChunk, StepBatch, StepCapacity } from './strategy/batch';
export type { GraphPoolOptions, PooledGraph } from './strategy/graph-pool';
export type { HostUpdateOptions } from './strategy/host-update';
export type { LauncherOptions } from './strategy/launcher';
export { DecodeModel, type DecodeModelOptions } from './strategy/model';
export { type StrategyName, strategies } from './strategy/strategies';
export type {
  CaptureReport,
  StepReport,
  Strategy,
  StrategyExplanation,
  StrategyMemory,
  StrategyOptions,
} from './strategy/strategy';
export type { WhileLoopOptions } from './strategy/while-loop';
export * from './tensor/compare';
export * from './tensor/create';
export type { DType, FloatDType } from './tensor/dtype';
export type { PrintOptions } from './tensor/format';
export type { HostData, NestedArray } from './tensor/host-values';
export { loadNpy, saveNpy } from './tensor/npy';
export * from './tensor/random';
export {
  type LoadSafetensorsOptions,
  loadSafetensors,
  type SaveSafetensorsOptions,
  saveSafetensors,
} from './tensor/safetensors';
export { type StreamOption, Tensor, type TensorPlacement } from './tensor/tensor';
export type { Achieved, AchievedOptions, TimelineWork } from './timeline/achieved';
export type { SpanPhase, TimelineColumns, TimelineSource } from './timeline/columns';
export type { CriticalPath, PathCause, PathStep } from './timeline/critical-path';
export type { ErrorSummary, TimelineDifference } from './timeline/difference';
export type { IdleCause, IdleTime } from './timeline/idle';
export type { TimelineStats } from './timeline/stats';
export { type Span, Timeline } from './timeline/timeline';
export type { SpanSelection } from './timeline/zoom';
export { formatBytes, formatCount, formatDuration } from './units';
export { readAzureTrace } from './workload/azure-trace';
export { type LoadTraceOptions, loadTrace } from './workload/load-trace';
export { readMooncakeTrace } from './workload/mooncake-trace';
export { type Request, RequestTrace, type RequestTraceOptions, type TraceSummaryRow } from './workload/request-trace';
export {
  type BatchSnapshot,
  type RunningRequest,
  type SnapshotOptions,
  type SnapshotsOptions,
  snapshot,
  snapshots,
} from './workload/snapshot';
export { type SyntheticTraceOptions, syntheticTrace } from './workload/synthetic';

registerDisplays();
