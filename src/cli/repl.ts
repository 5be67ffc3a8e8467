/** `warpbook repl`: TypeScript at a terminal, or from a pipe. */
import { Command } from 'commander';
import pc from 'picocolors';
import type { ReplKernel as Kernel } from '../notebook/repl/repl-kernel';
import type { AnswerPrompt } from '../notebook/run/kernel-client';

const HELP = `
TypeScript with top-level await and warpbook's names in scope, as in a notebook's cell. Tab completes, Ctrl-C
interrupts what runs, Ctrl-R searches the history, Ctrl-D leaves; .editor takes many lines, .restart a new kernel,
.help lists the rest. Charts are drawn as characters, or as images where the terminal can (kitty, iTerm2, WezTerm,
Ghostty).

Piped input is run statement by statement, up to the first that fails.

WARPBOOK_HISTORY names the file of the history; empty, none is kept. NO_COLOR turns colours off.

Exit codes: 0 all is well, 1 piped input failed, 2 wrong usage.

Examples:
  warpbook repl
  echo 'policies' | warpbook repl`;

export function replCommand(): Command {
  return new Command('repl')
    .summary('TypeScript at the terminal')
    .description('Read, run and print TypeScript, at a terminal or from a pipe.')
    .addHelpText('after', HELP)
    .action(repl);
}

async function repl(): Promise<void> {
  const [{ ReplKernel }, { TerminalOutput }] = await Promise.all([
    import('../notebook/repl/repl-kernel.js'),
    import('../notebook/repl/terminal-output.js'),
  ]);
  const { stdin, stdout, stderr, env } = process;
  const interactive = stdin.isTTY === true && stdout.isTTY === true;
  const output = new TerminalOutput({ stdout, stderr, env, colors: pc.isColorSupported && stdout.isTTY === true });
  const startKernel = (onPrompt?: AnswerPrompt): Promise<Kernel> =>
    ReplKernel.start({
      cwd: process.cwd(),
      // Displays as text ask for the width.
      env: stdout.columns ? { COLUMNS: String(stdout.columns) } : {},
      onMessage: (message) => output.show(message),
      onNativeOutput: (stream, text) => output.write(text, stream === 'stderr'),
      onPrompt,
    });
  if (interactive) {
    const { historyFile, runInteractive } = await import('../notebook/repl/interactive.js');
    const history = historyFile(env);
    await runInteractive({ output, input: stdin, stdout, colors: pc.isColorSupported, history, startKernel });
    return;
  }
  const { runPiped } = await import('../notebook/repl/piped.js');
  const kernel = await startKernel();
  const interrupted = (): void => kernel.interrupt();
  process.on('SIGINT', interrupted);
  try {
    if (!(await runPiped(kernel, stdin))) process.exitCode = 1;
  } finally {
    process.removeListener('SIGINT', interrupted);
    await kernel.close();
  }
}
