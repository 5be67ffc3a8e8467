/** `warpbook install` and `uninstall`: make the kernel known to Jupyter, without Python. */
import { Command, Option } from 'commander';
import {
  dataFolder,
  installKernelspec,
  type KernelspecPlace,
  uninstallKernelspec,
} from '../notebook/kernel/kernelspec';

interface Flags {
  readonly prefix?: string;
  readonly here?: boolean;
}

export function installCommand(): Command {
  return withPlace(new Command('install'))
    .summary('make the kernel known to Jupyter')
    .description("Make the kernel 'TypeScript (warpbook)' known to Jupyter. Writes one kernel.json; needs no Python.")
    .action((flags: Flags) => {
      const place = placeOf(flags);
      process.stdout.write(`Installed the kernel 'TypeScript (warpbook)' in ${installKernelspec(place)}\n`);
      if ('here' in place) {
        process.stdout.write(`Start Jupyter so that it looks there: JUPYTER_PATH=${dataFolder(place)} jupyter lab\n`);
      }
    });
}

export function uninstallCommand(): Command {
  return withPlace(new Command('uninstall'))
    .summary('remove the kernel from Jupyter')
    .description("Remove what 'warpbook install' wrote.")
    .action((flags: Flags) => {
      process.stdout.write(`Removed ${uninstallKernelspec(placeOf(flags))}\n`);
    });
}

function placeOf({ prefix, here }: Flags): KernelspecPlace {
  if (here) return { here: process.cwd() };
  return prefix === undefined ? { user: true } : { prefix };
}

function withPlace(command: Command): Command {
  return command
    .addOption(new Option('--user', "in the user's own Jupyter folder (the default)").conflicts(['prefix', 'here']))
    .addOption(
      new Option(
        '--prefix <dir>',
        'in <dir>/share/jupyter/kernels, such as /usr/local or a virtual environment',
      ).conflicts('here'),
    )
    .option('--here', 'in this folder, under .jupyter, for a Jupyter that is started with JUPYTER_PATH');
}
