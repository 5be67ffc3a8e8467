#!/usr/bin/env node
/**
 * The command line. Exit codes: 0 all is well, 1 something failed (a notebook, a file), 2 wrong usage. Each command
 * lives in its own file and is loaded when it is called.
 */
import { Command, CommanderError } from 'commander';
import { WarpbookError } from '../errors';
import { packageVersion } from '../notebook/kernel/package-paths';
import { benchCommand } from './bench';
import { buildKernelsCommand } from './build-kernels';
import { calibrateCommand } from './calibrate';
import { doctorCommand } from './doctor';
import { installCommand, uninstallCommand } from './install';
import { replCommand } from './repl';
import { runCommand } from './run';

const USAGE_ERROR = 2;

export function makeProgram(): Command {
  const program = new Command('warpbook')
    .description('A notebook lab for GPU attention: run notebooks, with or without Jupyter.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', '\nExit codes: 0 all is well, 1 something failed, 2 wrong usage.')
    .showHelpAfterError('(add --help for the options)');
  const commands = [
    runCommand(),
    replCommand(),
    benchCommand(),
    calibrateCommand(),
    doctorCommand(),
    buildKernelsCommand(),
    installCommand(),
    uninstallCommand(),
  ];
  for (const command of commands) {
    program.addCommand(command.copyInheritedSettings(program));
  }
  // Subcommands inherit it only where it is set on each.
  const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];
  for (const command of all(program)) command.exitOverride();
  return program;
}

/** Runs a command line (without node and script); returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    await makeProgram().parseAsync(args as string[], { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_ERROR;
    if (!(error instanceof WarpbookError)) throw error;
    process.stderr.write(`warpbook: ${error.message}\n`);
    return error.code === 'INVALID_ARGUMENT' ? USAGE_ERROR : 1;
  }
}

if (require.main === module) {
  void main(process.argv.slice(2)).then((code) => {
    process.exitCode = code;
  });
}
