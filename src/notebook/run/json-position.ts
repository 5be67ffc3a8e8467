/**
 * Where in a JSON text something is: the first syntax error, or the value at a path. `JSON.parse` tells neither on every
 * Node. Used only when a file turned out broken, so it need not be fast.
 */

export type JsonPath = readonly (string | number)[];

/** Line of the text's first syntax error, from 1, and what was wanted there; undefined for valid JSON. */
export function jsonSyntaxError(text: string): { line: number; got: string; wanted: string } | undefined {
  try {
    new Walker(text, undefined).document();
    return undefined;
  } catch (error) {
    if (!(error instanceof Unexpected)) throw error;
    const { at, wanted } = error;
    const got = at >= text.length ? 'the end of the file' : JSON.stringify(text[at]);
    return { line: lineAt(text, at), got, wanted };
  }
}

/** Line of the value at `path` in a valid JSON text, from 1; that of the nearest enclosing value if there is none. */
export function lineOfJsonPath(text: string, path: JsonPath): number {
  const walker = new Walker(text, path);
  walker.document();
  return lineAt(text, walker.found);
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

class Unexpected extends Error {
  constructor(
    readonly at: number,
    readonly wanted: string,
  ) {
    super(`wanted ${wanted}`);
  }
}

const SCALAR = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them in strings
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: see above
const STRING_START = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y;

class Walker {
  /** Offset of the deepest value on the way to the wanted path. */
  found = 0;
  private at = 0;
  private depthFound = -1;

  constructor(
    private readonly text: string,
    private readonly wanted: JsonPath | undefined,
  ) {}

  document(): void {
    this.value([]);
    this.space();
    if (this.at < this.text.length) throw new Unexpected(this.at, 'the end of the file');
  }

  private value(path: JsonPath): void {
    this.space();
    if (this.wanted && path.length > this.depthFound && path.every((key, i) => key === this.wanted?.[i])) {
      this.found = this.at;
      this.depthFound = path.length;
    }
    const c = this.text[this.at];
    if (c === '{')
      this.members('}', () => {
        this.space();
        const key: string = JSON.parse(this.string('a property name in double quotes'));
        this.expect(':');
        this.value([...path, key]);
      });
    else if (c === '[') {
      let index = 0;
      this.members(']', () => this.value([...path, index++]));
    } else if (c === '"') this.string('a string');
    else this.match(SCALAR, 'a JSON value');
  }

  private members(end: string, member: () => void): void {
    this.at += 1;
    this.space();
    if (this.text[this.at] === end) {
      this.at += 1;
      return;
    }
    for (;;) {
      member();
      this.space();
      const c = this.text[this.at];
      if (c !== ',' && c !== end) throw new Unexpected(this.at, `"," or "${end}"`);
      this.at += 1;
      if (c === end) return;
    }
  }

  private string(wanted: string): string {
    if (this.text[this.at] !== '"') throw new Unexpected(this.at, wanted);
    const start = this.at;
    STRING.lastIndex = start;
    const whole = STRING.exec(this.text);
    if (whole) {
      this.at += whole[0].length;
      return whole[0];
    }
    STRING_START.lastIndex = start;
    const good = STRING_START.exec(this.text)?.[0].length ?? 1;
    throw new Unexpected(start + good, 'the rest of a string');
  }

  private match(pattern: RegExp, wanted: string): void {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (!match) throw new Unexpected(this.at, wanted);
    this.at += match[0].length;
  }

  private expect(c: string): void {
    this.space();
    if (this.text[this.at] !== c) throw new Unexpected(this.at, `"${c}"`);
    this.at += 1;
  }

  private space(): void {
    while (/[ \t\r\n]/.test(this.text[this.at] ?? '')) this.at += 1;
  }
}
