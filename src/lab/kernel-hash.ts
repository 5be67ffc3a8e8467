/**
 * The version of the attention kernels as twelve digits: what a calibration belongs to. It changes with their code, their
 * headers and their tuning, not with comments and blanks.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { kernelPrograms } from '../attention/kernel-variants';
import type { Device } from '../device/device';
import { includedTexts, KERNELS_FOLDER } from '../device/programs/program-text';

/** Sources of the CPU device's attention, beside those of the GPU's. */
const CPU_FOLDER = join(KERNELS_FOLDER, '..', 'cpu', 'attention');
const DIGITS = 12;
const known = new Map<string, string>();

/** Version of the kernels that `device` runs. */
export function kernelHash(device: Device): string {
  const { architecture } = device.description;
  return architecture === undefined ? cpuHash() : gpuKernelHash(architecture);
}

/** Version of the CUDA kernels for an architecture such as `sm_90a`; asks for no GPU. */
export function gpuKernelHash(architecture: string): string {
  return remembered(architecture, (hash) => {
    const programs = kernelPrograms(architecture).filter(({ file }) => file.startsWith('attention'));
    hash(JSON.stringify(programs.map(({ name, defines, threads }) => [name, defines, threads])));
    const texts = new Map<string, string>();
    for (const file of new Set(programs.map((program) => program.file))) {
      const text = readFileSync(join(KERNELS_FOLDER, file), 'utf8');
      texts.set(file, text);
      for (const [name, included] of includedTexts(text, dirname(file), [KERNELS_FOLDER])) texts.set(name, included);
    }
    for (const name of [...texts.keys()].sort()) hash(name, withoutComments(texts.get(name) as string));
  });
}

function cpuHash(): string {
  return remembered('cpu', (hash) => {
    const names = existsSync(CPU_FOLDER) ? readdirSync(CPU_FOLDER).sort() : [];
    for (const name of names) hash(name, withoutComments(readFileSync(join(CPU_FOLDER, name), 'utf8')));
  });
}

function remembered(key: string, write: (hash: (...parts: string[]) => void) => void): string {
  let digest = known.get(key);
  if (digest === undefined) {
    const hash = createHash('sha256');
    write((...parts) => {
      for (const part of parts) hash.update(`${part}\0`);
    });
    digest = hash.digest('hex').slice(0, DIGITS);
    known.set(key, digest);
  }
  return digest;
}

function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/\/\/[^\n]*/g, '')
    .replace(/\s+/g, ' ');
}
