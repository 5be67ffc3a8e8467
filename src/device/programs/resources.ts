/** What ptxas reports about a kernel when it is asked to be verbose. */

export interface KernelResources {
  /** Registers of a thread. */
  readonly registers: number;
  /** Bytes of a thread. */
  readonly stackBytes: number;
  readonly spillStoreBytes: number;
  readonly spillLoadBytes: number;
  /** Static shared memory of a CTA, bytes. */
  readonly staticSharedBytes: number;
}

/** The numbers of kernel `entry` in the compiler's log; undefined where it has none. */
export function parseResources(log: string, entry: string): KernelResources | undefined {
  const start = log.search(new RegExp(`(entry function|Function properties for) '?${entry}\\b`));
  if (start < 0) return undefined;
  const section = log.slice(start);
  const number = (pattern: RegExp): number => Number(pattern.exec(section)?.[1] ?? 0);
  const registers = number(/Used (\d+) registers/);
  if (registers === 0) return undefined;
  return {
    registers,
    stackBytes: number(/(\d+) bytes stack frame/),
    spillStoreBytes: number(/(\d+) bytes spill stores/),
    spillLoadBytes: number(/(\d+) bytes spill loads/),
    staticSharedBytes: number(/(\d+) bytes smem/),
  };
}
