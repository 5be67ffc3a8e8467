/**
 * The file of a sweep: JSON Lines, a header and a line for each point, only ever appended to and synced to the disk. Whenever
 * the process ends, what it had written whole stays; a last line that was cut short is dropped when the file is opened again.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { WarpbookError } from '../../errors';
import { type FileLock, lockFile } from './lock';
import type { Json } from './points';

/** A point that was computed: with a result, or with the error that it failed with. */
export interface SweepRecord {
  readonly key: string;
  readonly point: { readonly [axis: string]: Json };
  readonly result?: { readonly [column: string]: Json };
  readonly error?: string;
  /** Wall time of the computation, ms. */
  readonly ms: number;
}

/** Journals that this process has open, by path: who interrupts a cell and runs it again may come before the old sweep is through. */
const openJournals = new Map<string, { readonly journal: Journal; readonly signal: AbortSignal | undefined }>();
/** What an interrupted sweep may take to leave its file: its threads are ended, its last lines written. */
const LEAVE_MS = 3000;

/** Waits until an interrupted sweep has left the file; one that hangs is put off it. */
async function takeOver(path: string): Promise<void> {
  const before = openJournals.get(path);
  if (!before?.signal?.aborted) return;
  for (const started = performance.now(); performance.now() - started < LEAVE_MS; ) {
    if (openJournals.get(path) !== before) return;
    await new Promise((resume) => setTimeout(resume, 10));
  }
  await before.journal.close();
}

const HEADER = `${JSON.stringify({ format: 'warpbook-sweep', version: 1 })}\n`;

export class Journal {
  private pending: string[] = [];
  private writing: Promise<void> | undefined;
  private failure: unknown;
  private closed: Promise<void> | undefined;

  private constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
    private readonly lock: FileLock,
    /** By key; of a key that stands there twice, the last. */
    readonly records: ReadonlyMap<string, SweepRecord>,
    /** Bytes of a last line that was cut short. */
    readonly droppedBytes: number,
  ) {}

  /**
   * Opens or makes the file, and locks it.
   * @throws WarpbookError FILE_FORMAT for a file of something else, or one that is damaged before its last line; FILE_NOT_FOUND
   * where its folder doesn't exist; INVALID_ARGUMENT while another sweep writes to it
   * @param signal of the sweep that opens it: one that was aborted gives way to the next
   */
  static async open(file: string, signal?: AbortSignal): Promise<Journal> {
    const path = resolve(file);
    await takeOver(path);
    let handle: FileHandle | undefined;
    let lock: FileLock | undefined;
    try {
      lock = lockFile(path);
      handle = await open(path, 'a+');
      const { records, keep, size } = parse(path, await handle.readFile());
      if (keep < size) await handle.truncate(keep);
      if (keep === 0) {
        await handle.appendFile(HEADER);
        await handle.datasync();
      }
      const journal = new Journal(path, handle, lock, records, size - keep);
      openJournals.set(path, { journal, signal });
      return journal;
    } catch (error) {
      await handle?.close();
      lock?.release();
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      throw new WarpbookError(
        'FILE_NOT_FOUND',
        `Can't write ${path}: its folder doesn't exist; make it first.`,
        { file: path },
        { cause: error },
      );
    }
  }

  /** Appends a record; records that come while the disk is busy go in one write. Failures show at {@link flush}. */
  append(record: SweepRecord): void {
    if (this.closed) return;
    this.pending.push(`${JSON.stringify(record)}\n`);
    this.writing ??= this.writeAll();
  }

  private async writeAll(): Promise<void> {
    try {
      while (this.pending.length > 0) {
        const lines = this.pending;
        this.pending = [];
        await this.handle.appendFile(lines.join(''));
        await this.handle.datasync();
      }
    } catch (error) {
      this.failure ??= error;
    } finally {
      this.writing = undefined;
    }
  }

  /** Waits until everything is on the disk. */
  async flush(): Promise<void> {
    while (this.writing) await this.writing;
    if (this.failure) throw this.failure;
  }

  /** Flushes and unlocks; idempotent. */
  close(): Promise<void> {
    this.closed ??= this.closeOnce();
    return this.closed;
  }

  private async closeOnce(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.handle.close();
      this.lock.release();
      if (openJournals.get(this.path)?.journal === this) openJournals.delete(this.path);
    }
  }
}

interface Parsed {
  readonly records: Map<string, SweepRecord>;
  /** Bytes up to the end of the last whole line. */
  readonly keep: number;
  readonly size: number;
}

/** In bytes, not characters: a cut may go through one. */
function parse(path: string, bytes: Buffer): Parsed {
  const size = bytes.length;
  const records = new Map<string, SweepRecord>();
  const header = Buffer.from(HEADER);
  if (
    size < header.length ? !header.subarray(0, size).equals(bytes) : !header.equals(bytes.subarray(0, header.length))
  ) {
    const first = JSON.stringify(bytes.subarray(0, 60).toString('utf8').split('\n')[0]);
    throw new WarpbookError(
      'FILE_FORMAT',
      `${path}: got a file that begins with ${first}; wanted a sweep's, or none. It is left as it is: choose another name.`,
      { file: path },
    );
  }
  if (size < header.length) return { records, keep: 0, size };
  let keep = header.length;
  for (let line = 2; keep < size; line++) {
    const newline = bytes.indexOf(0x0a, keep);
    const end = newline < 0 ? size : newline + 1;
    const record = newline < 0 ? undefined : recordOf(bytes.subarray(keep, newline).toString('utf8'));
    if (record) {
      records.set(record.key, record);
    } else if (end < size) {
      throw new WarpbookError(
        'FILE_FORMAT',
        `${path}, line ${line}: got what is no record of a sweep; wanted one. Only a last line may be cut short: take the line out, or ` +
          'start another file.',
        { file: path, line },
      );
    } else {
      break;
    }
    keep = end;
  }
  return { records, keep, size };
}

function recordOf(text: string): SweepRecord | undefined {
  try {
    const value = JSON.parse(text) as SweepRecord;
    const whole = typeof value.key === 'string' && typeof value.point === 'object' && (value.result || value.error);
    return whole ? value : undefined;
  } catch {
    return undefined;
  }
}
