/** Jupyter counts Unicode characters, JavaScript UTF-16 units. */

export function toUnits(code: string, points: number): number {
  return [...code].slice(0, points).join('').length;
}

export function toPoints(code: string, units: number): number {
  return [...code.slice(0, units)].length;
}
