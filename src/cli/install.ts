/** `warpbook install` and `uninstall`: make the kernel known to Jupyter, without Python. */
import { Command, Option } from 'commander';
import { installKernelspec, uninstallKernelspec } from '../notebook/kernel/kernelspec';

interface Flags {
  readonly prefix?: string;
}

export function installCommand(): Command {
  return withPlace(new Command('install'))
    .summary('make the kernel known to Jupyter')
    .description("Make the kernel 'TypeScript (warpbook)' known to Jupyter. Writes one kernel.json; needs no Python.")
    .action(({ prefix }: Flags) => {
      process.stdout.write(`Installed the kernel 'TypeScript (warpbook)' in ${installKernelspec(prefix)}\n`);
    });
}

export function uninstallCommand(): Command {
  return withPlace(new Command('uninstall'))
    .summary('remove the kernel from Jupyter')
    .description("Remove what 'warpbook install' wrote.")
    .action(({ prefix }: Flags) => {
      process.stdout.write(`Removed ${uninstallKernelspec(prefix)}\n`);
    });
}

function withPlace(command: Command): Command {
  return command
    .addOption(new Option('--user', "in the user's own Jupyter folder (the default)").conflicts('prefix'))
    .option('--prefix <dir>', 'in <dir>/share/jupyter/kernels, such as /usr/local or a virtual environment');
}
