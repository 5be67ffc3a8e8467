/** The unit of a time axis. */

/** The unit in which the longest of some times has one to four digits. */
export function timeUnit(durationNs: number): { readonly name: string; readonly ns: number } {
  if (durationNs < 5e3) return { name: 'ns', ns: 1 };
  if (durationNs < 5e6) return { name: 'µs', ns: 1e3 };
  if (durationNs < 5e9) return { name: 'ms', ns: 1e6 };
  return { name: 's', ns: 1e9 };
}
