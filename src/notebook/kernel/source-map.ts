/**
 * Where a cell's source lines went. tslab emits twice (TypeScript to ES modules, those to CommonJS), each with a source
 * map; this finds the way back for a position in a stack trace. Knows nothing of stacks and cells' text.
 */
import { SourceMap, type SourceMapPayload } from 'node:module';

/** Line and column, both from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export type PositionMapper = (position: Position) => Position | undefined;

const INLINE_MAP = /\n?\/\/# sourceMappingURL=data:application\/json[^,]*;base64,([A-Za-z0-9+/=]+)\s*$/;
const MAP_COMMENT = /\n?\/\/# sourceMappingURL=\S+\s*$/;

/** Cuts the inline source map off emitted code. */
export function splitInlineMap(code: string): { code: string; map?: SourceMapPayload } {
  const match = INLINE_MAP.exec(code);
  if (!match) return { code };
  return { code: code.slice(0, match.index), map: JSON.parse(Buffer.from(match[1], 'base64').toString('utf8')) };
}

export function dropMapComment(code: string): string {
  return code.replace(MAP_COMMENT, '');
}

/** Maps positions of the last emission back through every map, last emission's map first; built on first use. */
export function composeMaps(...payloads: SourceMapPayload[]): PositionMapper {
  let maps: SourceMap[] | undefined;
  return (position) => {
    maps ??= payloads.map((payload) => new SourceMap(payload));
    let { line, column } = position;
    for (const map of maps) {
      const entry = map.findEntry(line - 1, column - 1);
      if (!('originalLine' in entry)) return undefined;
      // The entry starts at or before the position; what lies between is shared by both texts.
      line = entry.originalLine + 1;
      column = entry.originalColumn + 1;
    }
    return { line, column };
  };
}
