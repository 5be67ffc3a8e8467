/** Options of notebooks as tests, and how they travel from a Vitest configuration into its test workers. */
import type { Parameters } from '../run/parameters';

/** A text that differs from run to run, and what stands for it in comparisons. */
export type Sanitizer = readonly [pattern: RegExp, replacement: string];

export interface NotebookTestOptions {
  /** Which notebooks are tests, as globs from the project's root; default: `**` + `/*.ipynb`. */
  readonly include?: readonly string[];
  /** Seconds for each cell that says nothing itself (`metadata.execution.timeout`); default 60. */
  readonly cellTimeoutS?: number;
  /** Seconds for a whole notebook, its kernel's start included; default 600. */
  readonly timeoutS?: number;
  /** Seconds that timers and promises of the cells get after the last cell; default 2. */
  readonly lateS?: number;
  /** Stored outputs that are compared: of cells tagged `check-output`, or of all but those tagged `ignore-output`. */
  readonly compare?: 'tagged' | 'all';
  /** What is replaced before outputs are compared, after the built-in rules (times, rates, addresses, paths). */
  readonly sanitize?: readonly Sanitizer[];
  /** Values for the cell tagged `parameters`, of every notebook that has one. */
  readonly parameters?: Parameters;
  /** Run notebooks whose metadata name another kernel too; default false: such a notebook fails. */
  readonly anyKernel?: boolean;
  /** Added to the kernels' environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** An expression that makes these options again. JSON has no regular expressions. */
export function optionsSource(options: NotebookTestOptions): string {
  const { sanitize = [], ...rest } = options;
  const rules = sanitize.map(([pattern, text]) => `[${pattern.toString()}, ${JSON.stringify(text)}]`);
  return `{ ...${JSON.stringify(rest)}, sanitize: [${rules.join(', ')}] }`;
}
