/** Tells the registry how each class of warpbook is shown. The one place that knows all of them. */
import { registerRecognizer, registerRenderer } from '../renderers';
import { Schedule } from '../schedule/schedule';
import { Timeline } from '../timeline/timeline';
import { Chart } from './chart';
import { gantt } from './gantt';
import { Table, isArqueroLike, table } from './table';

/** Fills the registry; cheap (charts, fonts and tables load when one is first shown) and safe to call again. */
export function registerDisplays(): void {
  registerRenderer(Chart, (chart, options) => chart.bundle(options));
  registerRenderer(Table, (shown, options) => shown.bundle(options));
  registerRenderer(Schedule, (schedule, options) => gantt(schedule).bundle(options));
  registerRenderer(Timeline, (timeline, options) => gantt(timeline).bundle(options));
  registerRecognizer(isArqueroLike, (rows, options) => table(rows).bundle(options));
}
