/** The grid and the CTAs of a kernel's launch, checked before the driver sees them: it would only say "invalid value". */
import { WarpbookError } from '../../errors';
import type { BackendDescription, CtaOverrides, ProgramInfo } from '../backend';

/** A count in x, or counts in x, y and z; what is left out is 1. */
export type Extent = number | readonly [x: number, y?: number, z?: number];

/** How the CTAs of a launch look. */
export interface CtaShape {
  /** Threads of a CTA: at most 1,024 in all, and what the kernel's registers allow. */
  threads: Extent;
  /** Dynamic shared memory of a CTA, bytes; default 0. */
  sharedMemoryBytes?: number;
}

const MAX_GRID = [2 ** 31 - 1, 65_535, 65_535] as const;
const MAX_THREADS = [1024, 1024, 64] as const;
const MAX_CLUSTER_SIZE = 16;
const AXES = ['x', 'y', 'z'] as const;

/** What a check has to know of a kernel. */
export interface CheckedKernel {
  readonly label: string;
  readonly info: ProgramInfo;
  readonly description: BackendDescription;
}

/** The grid as the seam takes it. Throws `INVALID_ARGUMENT` for one that no GPU has. */
export function gridOf(kernel: CheckedKernel, grid: Extent): [number, number, number] {
  return extents(kernel, 'grid', grid, MAX_GRID, 'CTAs');
}

/** The CTA as the seam takes it. Throws `INVALID_ARGUMENT` where the kernel can't have so many threads or so much memory. */
export function ctaOf(
  kernel: CheckedKernel,
  { threads, sharedMemoryBytes = 0 }: CtaShape,
): Required<Pick<CtaOverrides, 'threads' | 'sharedMemoryBytes'>> {
  const { label, info, description } = kernel;
  const [x, y, z] = extents(kernel, 'threads', threads, MAX_THREADS, 'threads of a CTA');
  if (x * y * z > info.maxThreads) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got ${x * y * z} threads in a CTA of kernel '${label}'; wanted at most ${info.maxThreads}, which is what its ` +
        `${info.registers} registers a thread and its launch bounds leave. Use fewer threads, or give the kernel ` +
        '__launch_bounds__.',
      { threads: x * y * z, maxThreads: info.maxThreads },
    );
  }
  const most = (description.maxSharedMemoryBytes ?? 0) - info.staticSharedMemoryBytes;
  if (!Number.isInteger(sharedMemoryBytes) || sharedMemoryBytes < 0 || sharedMemoryBytes > most) {
    const own =
      info.staticSharedMemoryBytes > 0 ? `, less ${info.staticSharedMemoryBytes} that the kernel declares` : '';
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got ${sharedMemoryBytes} bytes of shared memory in a CTA of kernel '${label}'; wanted an integer from 0 to ${most} ` +
        `(${description.maxSharedMemoryBytes} on ${description.name}${own}). Use smaller tiles.`,
      { sharedMemoryBytes, maxBytes: most },
    );
  }
  return { threads: [x, y, z], sharedMemoryBytes };
}

/** Throws `INVALID_ARGUMENT` for clusters that there aren't, or that the grid doesn't fill. */
export function requireCluster({ label }: CheckedKernel, clusterSize: number, gridX: number): void {
  if (!Number.isInteger(clusterSize) || clusterSize < 1 || clusterSize > MAX_CLUSTER_SIZE) {
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got clusters of ${clusterSize} CTAs for kernel '${label}'; wanted an integer from 1 to ${MAX_CLUSTER_SIZE}.`,
    );
  }
  if (gridX % clusterSize === 0) return;
  throw new WarpbookError(
    'INVALID_ARGUMENT',
    `Got a grid of ${gridX} CTAs in x in clusters of ${clusterSize} for kernel '${label}'; wanted a multiple of the cluster.`,
  );
}

function extents(
  { label }: CheckedKernel,
  what: 'grid' | 'threads',
  extent: Extent,
  limits: readonly [number, number, number],
  noun: string,
): [number, number, number] {
  const [x, y = 1, z = 1] = typeof extent === 'number' ? [extent] : extent;
  for (const [axis, count] of [x, y, z].entries()) {
    if (Number.isInteger(count) && count >= 1 && count <= limits[axis]) continue;
    throw new WarpbookError(
      'INVALID_ARGUMENT',
      `Got ${what} ${JSON.stringify(extent)} for kernel '${label}', with ${count} ${noun} in ${AXES[axis]}; wanted an ` +
        `integer from 1 to ${limits[axis]} there.`,
      { [what]: extent },
    );
  }
  return [x, y, z];
}
