/** Devices and their memory: what runs, how much of the budget is in use, and by whom. */
import type { Device } from '../device/device';
import type { MemoryReport } from '../device/memory';
import type { MimeBundle, RenderOptions } from '../renderers';
import { formatBytes, formatCount } from '../units';
import { type Facts, factsBundle, shareBar } from './facts';
import { type Table, table } from './table';
import { countOf } from './text-lines';

export function deviceBundle(device: Device, options: RenderOptions): MimeBundle {
  const { description } = device;
  const state: Facts = device.disposed ? [['state', 'disposed']] : [];
  const report = device.memory();
  const facts: Facts = [
    ['hardware', description.name],
    [device.kind === 'cpu' ? 'threads' : 'SMs', formatCount(description.numProcessors)],
    ['instruction set', description.instructionSet],
    ...memoryFacts(report),
    ...state,
  ];
  return factsBundle(`Device ${device.name} (${device.kind})`, facts, ownerTables(report), options);
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
