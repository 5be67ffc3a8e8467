/** Formatting of bytes, durations and counts, for messages and displays. Knows no domain objects. */

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `1536` → `1.50 KiB`; whole bytes below 1 KiB. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < BINARY.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)} ${BINARY[unit]}`;
}

/** Nanoseconds → `830 ns`, `12.3 µs`, `4.56 ms`, `1.20 s`. */
export function formatDuration(ns: number): string {
  const abs = Math.abs(ns);
  if (abs < 1e3) return `${Math.round(ns)} ns`;
  const [value, unit] = abs < 1e6 ? [ns / 1e3, 'µs'] : abs < 1e9 ? [ns / 1e6, 'ms'] : [ns / 1e9, 's'];
  return `${value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2)} ${unit}`;
}

/** `12345678` → `12,345,678`. */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

/** The smallest multiple of `multiple` that is at least `value`. */
export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** Integer division that rounds up. */
export function ceilDiv(a: number, b: number): number {
  return Math.ceil(a / b);
}
