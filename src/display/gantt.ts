/** The Gantt chart of a Schedule or a Timeline: what every CTA does, by KV tokens or by time. */
import type { Schedule } from '../schedule/schedule';
import type { Timeline } from '../timeline/timeline';
import { Chart } from './chart';
import { type GanttOptions, ganttModel } from './gantt-model';
import { ganttSpec } from './gantt-spec';
import { ganttText } from './gantt-text';

export type { GanttColor, GanttOptions } from './gantt-model';

/**
 * Draws a lane for every CTA and a bar for every work tile; merges are outlined bars of less height. Above 20,000 bars
 * it shows how busy each CTA was by time bin instead.
 *
 * A Schedule is drawn by the KV tokens of its tiles, a Timeline by time. In front ends that draw Vega-Lite: drag to
 * pan, pinch or Ctrl + wheel to zoom, double click to reset, hover for a tile's details.
 * @throws WarpbookError INVALID_ARGUMENT for anything but a Schedule or a Timeline
 */
export function gantt(source: Schedule | Timeline, options: GanttOptions = {}): Chart {
  const model = ganttModel(source, options);
  return new Chart(ganttSpec(model, options), (columns) => ganttText(model, columns));
}
