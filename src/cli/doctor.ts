/** `warpbook doctor`: what this machine has for CUDA, what is missing, and what to do about it. */
import { Command } from 'commander';
import { type CudaDiagnosis, diagnoseCuda } from '../device/programs/diagnose';
import { LINKER_REMEDY } from '../device/programs/find-linker';
import { formatBytes } from '../units';

const HELP = `
The CPU device needs nothing of all this. A CUDA device needs a driver, and for each kernel either NVRTC to compile it or a
build of it for the GPU's architecture (warpbook build-kernels).

Exit codes: 0 CUDA devices can be opened and kernels be had, 1 something is missing.`;

export function doctorCommand(): Command {
  return new Command('doctor')
    .summary('say what CUDA needs and this machine has')
    .description('Say what CUDA needs and this machine has.')
    .addHelpText('after', HELP)
    .action(() => {
      const { lines, healthy } = examine(diagnoseCuda());
      process.stdout.write(`${lines.join('\n')}\n`);
      if (!healthy) process.exitCode = 1;
    });
}

/** The report, and whether CUDA devices can be opened and kernels be had. */
export function examine(diagnosis: CudaDiagnosis): { lines: string[]; healthy: boolean } {
  const driver = driverLines(diagnosis.driver);
  const nvml = nvmlLines(diagnosis.nvml);
  const compiler = compilerLines(diagnosis);
  const linker = linkerLines(diagnosis);
  const kernels = kernelLines(diagnosis);
  const hasKernels = diagnosis.kernels.some(({ programs }) => programs > 0);
  const hasGpu = !('problem' in diagnosis.driver) && diagnosis.driver.gpus.length > 0;
  const healthy = hasGpu && (diagnosis.nvrtc.nvrtc !== undefined || hasKernels);
  return { lines: [...driver, ...nvml, ...compiler, ...linker, ...kernels], healthy };
}

function driverLines(driver: CudaDiagnosis['driver']): string[] {
  if ('problem' in driver) return [`missing  driver: ${driver.problem}`];
  const gpus = driver.gpus.map(
    ({ ordinal, name, architecture, numSms, memoryBytes }) =>
      `ok       GPU ${ordinal}: ${name}, ${architecture}, ${numSms} SMs, ${formatBytes(memoryBytes)}`,
  );
  return [`ok       driver: ${driver.library}, for CUDA ${versionText(driver.version)}`, ...gpus];
}

function nvmlLines(nvml: CudaDiagnosis['nvml']): string[] {
  if ('driver' in nvml) return [`ok       NVML: driver ${nvml.driver}; measurements note clocks and power`];
  return [`none     NVML, without which measurements (warpbook bench) note no clocks and no power: ${nvml.problem}`];
}

function compilerLines({ nvrtc: { nvrtc, missed }, missingHeaders }: CudaDiagnosis): string[] {
  if (!nvrtc) {
    return [
      'missing  NVRTC: install it (pip install nvidia-cuda-nvrtc nvidia-cuda-runtime, in an active virtual environment), or',
      '         set CUDA_HOME to a toolkit, or use kernels that were built ahead. Looked in',
      ...missed.map(({ origin, problem }) => `           ${origin}: ${problem}`),
    ];
  }
  const lines = [`ok       NVRTC ${nvrtc.version.join('.')}: ${nvrtc.library} (${nvrtc.origin})`];
  if (missingHeaders.length === 0) lines.push(`ok       headers: ${nvrtc.includeFolders.join(', ')}`);
  else {
    lines.push(
      `missing  headers: ${missingHeaders.join(', ')}, for kernels of your own that include them; warpbook's do not.`,
      '         Install them: pip install nvidia-cuda-runtime nvidia-cuda-cccl.',
    );
  }
  return lines;
}

function linkerLines({ linker: search }: CudaDiagnosis): string[] {
  if (!search) return [];
  const { linker, missed } = search;
  if (linker) {
    const { version, library, deviceRuntime, origin } = linker;
    return [`ok       nvJitLink ${version.join('.')}: ${library} (${origin}), with ${deviceRuntime}`];
  }
  return [
    'missing  nvJitLink with libcudadevrt.a, for kernels of your own that launch kernels; everything else works without.',
    `         ${LINKER_REMEDY}. Looked in`,
    ...missed.map(({ origin, problem }) => `           ${origin}: ${problem}`),
  ];
}

function kernelLines({ kernels, cacheFolders }: CudaDiagnosis): string[] {
  const built = kernels.filter(({ programs }) => programs > 0);
  if (built.length === 0) return [`none     built kernels: ${cacheFolders.join(', ')}`];
  return built.map(
    ({ folder, architecture, programs }) => `ok       built kernels: ${programs} for ${architecture} in ${folder}`,
  );
}

function versionText(version: number): string {
  return `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
}
