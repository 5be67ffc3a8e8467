/** A chart that is drawn again in its place while work goes on. Knows nothing of what it shows. */
import { jupyterDisplay } from '../renderers';
import type { Chart } from './chart';
import { currentFrontEnd } from './front-end';

/** A chart that is drawn anew in place; made by {@link liveChart}. */
export interface LiveChart {
  /**
   * Shows `chart` in place of what was shown, at most four times a second; what comes in between is left out, and a function
   * isn't called for it.
   */
  update(chart: Chart | (() => Chart)): void;
  /** Shows the last state, for good; idempotent. Without `chart`: what the last update gave. */
  finish(chart?: Chart | (() => Chart)): void;
  [Symbol.dispose](): void;
}

/** Drawings a second at most: more would fill the front end's queue, and take time from what is measured. */
const INTERVAL_MS = 250;

let nextId = 0;

/**
 * Starts a chart that updates in place, in the cell that runs. Without a front end (a script, a test) the last state is
 * printed as text when it is finished.
 */
export function liveChart(): LiveChart {
  nextId += 1;
  return new UpdatedChart(`warpbook-live-${process.pid}-${nextId}`);
}

class UpdatedChart implements LiveChart {
  private drawnAt = Number.NEGATIVE_INFINITY;
  private last: Chart | (() => Chart) | undefined;
  private isShown = false;
  private finished = false;

  constructor(private readonly id: string) {}

  update(chart: Chart | (() => Chart)): void {
    if (this.finished) return;
    this.last = chart;
    if (performance.now() - this.drawnAt < INTERVAL_MS || !currentFrontEnd()) return;
    const bundle = made(chart).bundleWithoutPng();
    this.show({ [jupyterDisplay]: () => bundle });
    // After what drawing took, so that it never takes more than its share.
    this.drawnAt = performance.now();
  }

  finish(chart: Chart | (() => Chart) | undefined = this.last): void {
    if (this.finished) return;
    this.finished = true;
    this.last = undefined;
    if (!chart) return;
    const drawn = made(chart);
    if (currentFrontEnd()) this.show(drawn);
    else console.log(drawn.toText());
  }

  [Symbol.dispose](): void {
    this.finish();
  }

  private show(value: unknown): void {
    currentFrontEnd()?.show(value, this.id, this.isShown);
    this.isShown = true;
  }
}

function made(chart: Chart | (() => Chart)): Chart {
  return typeof chart === 'function' ? chart() : chart;
}
