/** Busy shares of a Gantt by lanes and time bins: what is drawn where single bars are too many or too small to see. */
import type { GanttModel } from './gantt-model';

export interface BusyBins {
  readonly numRows: number;
  readonly numBins: number;
  /** Lanes in one row (the last row may have fewer). */
  readonly lanesPerRow: number;
  /** Width of a bin in units of the x axis. */
  readonly binWidth: number;
  /** float64 [numRows × numBins]: share of lanes × time that bars cover, in [0, 1]. */
  readonly share: Float64Array;
  /** int32 [numRows × numBins]: bars that touch the cell. */
  readonly bars: Int32Array;
}

/** Spreads the bars over `numBins` equal bins of the x axis and rows of `lanesPerRow` lanes. */
export function busyBins(model: GanttModel, numBins: number, lanesPerRow: number): BusyBins {
  const numRows = Math.max(1, Math.ceil(model.numLanes / lanesPerRow));
  const binWidth = model.extent / numBins;
  const share = new Float64Array(numRows * numBins);
  const bars = new Int32Array(numRows * numBins);
  for (let i = 0; i < model.lane.length; i++) {
    const start = model.start[i];
    const end = model.end[i];
    if (!(end > start)) continue;
    const row = Math.floor(model.lane[i] / lanesPerRow) * numBins;
    const first = Math.min(numBins - 1, Math.floor(start / binWidth));
    const last = Math.min(numBins - 1, Math.floor(end / binWidth));
    for (let b = first; b <= last; b++) {
      const covered = Math.min(end, (b + 1) * binWidth) - Math.max(start, b * binWidth);
      if (covered <= 0) continue;
      share[row + b] += covered;
      bars[row + b]++;
    }
  }
  for (let r = 0; r < numRows; r++) {
    const lanes = Math.min(lanesPerRow, model.numLanes - r * lanesPerRow);
    for (let b = 0; b < numBins; b++) {
      const cell = r * numBins + b;
      share[cell] = Math.min(1, share[cell] / (binWidth * lanes));
    }
  }
  return { numRows, numBins, lanesPerRow, binWidth, share, bars };
}
