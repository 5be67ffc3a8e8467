/** Reading and writing files of tensors, with errors that name the file. Knows no format. */
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { WarpbookError } from '../errors';

/** The error for a file that isn't what its name promises: `path: got …; wanted …. remedy`. */
export function formatError(
  path: string,
  got: string,
  wanted: string,
  remedy: string,
  details: Record<string, unknown> = {},
): WarpbookError {
  return new WarpbookError('FILE_FORMAT', `${path}: got ${got}; wanted ${wanted}. ${remedy}`, {
    file: path,
    ...details,
  });
}

function notFound(path: string, cause: unknown, remedy: string): WarpbookError {
  return new WarpbookError(
    'FILE_NOT_FOUND',
    `Got no file at ${path}; wanted one that exists. ${remedy}`,
    { file: path },
    { cause },
  );
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** A file that is read piece by piece. */
export interface FileReader {
  readonly path: string;
  readonly byteLength: number;
  /** Exactly `byteLength` bytes from `position` on, or `FILE_FORMAT`. */
  read(position: number, byteLength: number): Promise<Uint8Array>;
}

async function readFully(handle: FileHandle, path: string, position: number, byteLength: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(byteLength);
  let done = 0;
  while (done < byteLength) {
    const { bytesRead } = await handle.read(bytes, done, byteLength - done, position + done);
    if (bytesRead === 0) {
      throw formatError(
        path,
        `a file that ends after ${position + done} bytes`,
        `at least ${position + byteLength}`,
        'It was cut short; write or download it again.',
      );
    }
    done += bytesRead;
  }
  return bytes;
}

/**
 * Runs `use` on an open file and closes it.
 * @throws WarpbookError FILE_NOT_FOUND with a hint at what to do
 */
export async function withFile<T>(path: string, use: (file: FileReader) => Promise<T>): Promise<T> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw notFound(path, error, `Check the path; a relative one starts at ${process.cwd()}.`);
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw notFound(path, undefined, 'Something else has that name, such as a folder.');
    return await use({
      path,
      byteLength: stat.size,
      read: (position, byteLength) => readFully(handle, path, position, byteLength),
    });
  } finally {
    await handle.close();
  }
}

let numWrites = 0;

/** Writes pieces to a file that appears under its name only when it is complete. */
export async function writeFile(path: string, pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
  const unfinished = `${path}.${process.pid}.${++numWrites}.tmp`;
  let handle: FileHandle;
  try {
    handle = await open(unfinished, 'w');
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw notFound(path, error, 'Its directory must exist before it can be written; create it.');
  }
  try {
    for await (const piece of pieces) {
      for (let done = 0; done < piece.byteLength; ) done += (await handle.write(piece, done)).bytesWritten;
    }
    await handle.close();
    await rename(unfinished, path);
  } catch (error) {
    await handle.close().catch(() => undefined);
    await rm(unfinished, { force: true });
    throw error;
  }
}
