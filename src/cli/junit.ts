/**
 * A run's report as JUnit XML, the form that CI servers read: a suite for each notebook, a case for each cell. The
 * package writes it, since the escaping of foreign text is its business.
 */
import builder, { type Builder } from 'junit-report-builder';
import { cellOutputText, failureText, type NotebookReport } from '../notebook/run/report';

export class JUnitReport {
  private readonly builder: Builder = builder.newBuilder();

  /** Adds a notebook that was run. */
  add(report: NotebookReport): void {
    const suite = this.builder
      .testSuite()
      .name(report.path)
      .time(report.durationMs / 1000);
    const codeCells = report.notebook.cells.filter((cell) => cell.cell_type === 'code');
    for (const { number, status, durationMs } of report.cells) {
      const test = suite
        .testCase()
        .name(`cell ${number}`)
        .className(report.path)
        .file(report.path)
        .time(durationMs / 1000);
      const output = cellOutputText(codeCells[number - 1] as never);
      if (output !== '') test.standardOutput(output);
      if (report.failure?.cell === number) {
        test.failure(failureText(report.path, report.failure), report.failure.code);
      } else if (status === 'skipped' || status === 'not run') test.skipped();
    }
    // A failure that no cell is to blame for must not be lost.
    if (report.failure && report.failure.cell === undefined) {
      const { code, message } = report.failure;
      suite.testCase().name('notebook').className(report.path).file(report.path).error(message, code);
    }
  }

  /** Adds a notebook that could not be run. */
  addError(path: string, message: string): void {
    this.builder.testSuite().name(path).testCase().name('notebook').className(path).file(path).error(message);
  }

  write(file: string): void {
    this.builder.writeTo(file);
  }
}
