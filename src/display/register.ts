/** Tells the registry how each class of warpbook is shown. The one place that knows all of them. */
import { BatchAttention } from '../attention/batch-attention';
import { PageTable } from '../attention/page-table';
import { PagedKvCache } from '../attention/paged-kv';
import { DevicePlan, Plan } from '../attention/plan';
import { Device } from '../device/device';
import { Kernel } from '../device/kernel/kernel';
import { CompilationError } from '../device/programs/compilation-error';
import { Graph } from '../graph/graph';
import { GraphExec } from '../graph/graph-exec';
import { Verdict } from '../measure/compare';
import { Measurement } from '../measure/measurement';
import { registerRecognizer, registerRenderer } from '../renderers';
import { Schedule } from '../schedule/schedule';
import { Prediction } from '../simulate/prediction';
import { Tensor } from '../tensor/tensor';
import { Timeline } from '../timeline/timeline';
import { RequestTrace } from '../workload/request-trace';
import { cacheBundle, devicePlanBundle, pageTableBundle, planBundle, wrapperBundle } from './attention-display';
import { Chart } from './chart';
import { showCompilations } from './compile-progress';
import { deviceBundle, isMemoryReport, memoryBundle } from './device-display';
import { gantt } from './gantt';
import { graphBundle, graphExecBundle } from './graph-display';
import { compilationErrorBundle, kernelBundle } from './kernel-display';
import { measurementBundle, showMeasuring, verdictBundle } from './measure-display';
import { costModelBundle, isCostModel, predictionBundle } from './prediction-display';
import { isArqueroLike, Table, table } from './table';
import { tensorBundle } from './tensor-display';
import { traceBundle } from './workload-display';

/** Fills the registry; cheap (charts, fonts and Graphviz load when one is first shown) and safe to call again. */
export function registerDisplays(): void {
  registerRenderer(Chart, (chart, options) => chart.bundle(options));
  registerRenderer(Table, (shown, options) => shown.bundle(options));
  registerRenderer(Schedule, (schedule, options) => gantt(schedule).bundle(options));
  registerRenderer(Timeline, (timeline, options) => gantt(timeline).bundle(options));
  registerRenderer(Plan, planBundle);
  registerRenderer(DevicePlan, devicePlanBundle);
  registerRenderer(BatchAttention, wrapperBundle);
  registerRenderer(PagedKvCache, cacheBundle);
  registerRenderer(PageTable, pageTableBundle);
  registerRenderer(RequestTrace, traceBundle);
  registerRenderer(Tensor, tensorBundle);
  registerRenderer(Device, deviceBundle);
  registerRenderer(Kernel, kernelBundle);
  registerRenderer(CompilationError, compilationErrorBundle);
  registerRenderer(Measurement, measurementBundle);
  registerRenderer(Verdict, verdictBundle);
  registerRenderer(Prediction, predictionBundle);
  showMeasuring();
  registerRenderer(Graph, graphBundle);
  registerRenderer(GraphExec, graphExecBundle);
  registerRecognizer(isArqueroLike, (rows, options) => table(rows).bundle(options));
  registerRecognizer(isMemoryReport, memoryBundle);
  registerRecognizer(isCostModel, costModelBundle);
  showCompilations();
}
