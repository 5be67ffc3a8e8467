/** Devices and their memory: what runs, how much of the budget is in use, and by whom. */
import type { BackendDescription } from '../device/backend';
import type { Device } from '../device/device';
import type { MemoryReport } from '../device/memory';
import type { MimeBundle, RenderOptions } from '../renderers';
import { formatBytes, formatCount } from '../units';
import { type Facts, factsBundle, shareBar } from './facts';
import { type Table, table } from './table';
import { countOf } from './text-lines';

export async function deviceBundle(device: Device, options: RenderOptions): Promise<MimeBundle> {
  const { description } = device;
  const report = device.memory();
  const facts: Facts = [
    ['hardware', description.name],
    [device.kind === 'cpu' ? 'threads' : 'SMs', formatCount(description.numProcessors)],
    ['instruction set', description.instructionSet],
    ...limitFacts(description),
    ['can do', abilities(description).join(', ')],
    ['total memory', formatBytes(description.totalMemoryBytes)],
    ...memoryFacts(report),
    ...(device.disposed ? ([['state', 'disposed']] as const) : await clockFacts(device)),
  ];
  return factsBundle(`Device ${device.name} (${device.kind})`, facts, ownerTables(report), options);
}

function limitFacts({ maxThreadsPerSm, maxSharedMemoryBytes, driverVersion }: BackendDescription): Facts {
  return [
    ...(maxThreadsPerSm === undefined ? [] : [['threads', `${formatCount(maxThreadsPerSm)} an SM`] as const]),
    ...(maxSharedMemoryBytes === undefined
      ? []
      : [['shared memory', `${formatBytes(maxSharedMemoryBytes)} a CTA at most`] as const]),
    ...(driverVersion === undefined
      ? []
      : [['driver', `CUDA ${Math.floor(driverVersion / 1000)}.${Math.floor((driverVersion % 1000) / 10)}`] as const]),
  ];
}

/** What differs between devices; streams, events and graphs are everywhere. */
function abilities({ kind, architecture }: BackendDescription): string[] {
  if (kind === 'cpu') return ['graphs', 'attention on virtual CTAs', 'built-in programs only (no CUDA sources)'];
  const generation = Number(/sm_(\d+)/.exec(architecture ?? '')?.[1] ?? 0);
  return [
    'graphs',
    'kernels from CUDA sources (device.compile)',
    'cooperative launches',
    ...(generation >= 90 ? ['clusters', 'programmatic dependent launch'] : []),
  ];
}

async function clockFacts(device: Device): Promise<Facts> {
  const now = await device.telemetry();
  if (now.problem !== undefined) return [];
  const parts = [
    ...(now.smClockMhz === undefined ? [] : [`SM ${formatCount(now.smClockMhz)} MHz`]),
    ...(now.powerWatts === undefined ? [] : [`${now.powerWatts.toFixed(0)} W`]),
    ...(now.temperatureC === undefined ? [] : [`${now.temperatureC} °C`]),
    ...(now.throttledBy?.length ? [`held down by ${now.throttledBy.join(', ')}`] : []),
  ];
  return parts.length > 0 ? [['now', parts.join(', ')]] : [];
}

export function memoryBundle(report: MemoryReport, options: RenderOptions): MimeBundle {
  return factsBundle('Memory', memoryFacts(report), ownerTables(report), options);
}

/** Recognises what `device.memory()` returns: a plain object. */
export function isMemoryReport(value: object): value is MemoryReport {
  const report = value as Partial<MemoryReport>;
  return (
    typeof report.limitBytes === 'number' &&
    typeof report.usedBytes === 'number' &&
    typeof report.peakBytes === 'number' &&
    Array.isArray(report.owners)
  );
}

function memoryFacts(report: MemoryReport): Facts {
  const { usedBytes, limitBytes } = report;
  const collected: Facts =
    report.collectedBuffers > 0
      ? [['leaked', `${countOf(report.collectedBuffers, 'buffer')} collected without dispose()`]]
      : [];
  return [
    ['in use', `${formatBytes(usedBytes)} of ${formatBytes(limitBytes)}  ${shareBar(usedBytes, limitBytes)}`],
    ['peak', formatBytes(report.peakBytes)],
    ['buffers', formatCount(report.liveBuffers)],
    ...collected,
  ];
}

function ownerTables(report: MemoryReport): Table[] {
  if (report.owners.length === 0) return [];
  const rows = report.owners.map(({ label, bytes, buffers }) => ({
    owner: label,
    memory: formatBytes(bytes),
    bytes,
    buffers,
  }));
  return [table(rows, { maxRows: 20 })];
}
