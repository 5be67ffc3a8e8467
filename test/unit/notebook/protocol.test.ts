import { describe, expect, it } from 'vitest';
import { WarpbookError } from '../../../src/errors';
import { decodeMessage, encodeMessage, makeHeader, parseConnectionInfo } from '../../../src/notebook/run/protocol';

const KEY = 'secret';
const message = {
  identities: [Buffer.from('client')],
  header: makeHeader('execute_request', 'session'),
  parentHeader: {},
  metadata: { warpbook: { cell: 3 } },
  content: { code: 'console.log("ü 🎈")' },
};

function errorOf(f: () => unknown): WarpbookError {
  try {
    f();
  } catch (error) {
    if (error instanceof WarpbookError) return error;
    throw error;
  }
  throw new Error('it did not throw');
}

describe('messages', () => {
  it('come back as they were sent', () => {
    expect(decodeMessage(encodeMessage(message, KEY), KEY)).toEqual(message);
  });

  it('are signed as the protocol says: HMAC-SHA256 over the four parts', () => {
    // hmac.new(b'key', b'{}{}{}{}', 'sha256').hexdigest() in Python
    const empty = { identities: [], header: {} as never, parentHeader: {}, metadata: {}, content: {} };
    const [delimiter, signature] = encodeMessage(empty, 'key');
    expect(delimiter.toString()).toBe('<IDS|MSG>');
    expect(signature.toString()).toBe('ca767b02c5bc061ed184a9a029e7f93a7f2f7ed4e8fe74120fc1212f0b008fa3');
  });

  it('need no signature where the key is empty', () => {
    const frames = encodeMessage(message, '');
    expect(frames[2].toString()).toBe('');
    expect(decodeMessage(frames, '').content).toEqual(message.content);
  });

  it('are refused with another key, a changed part, and a cut signature', () => {
    const wrong =
      'got a message with a wrong signature; wanted one signed with the key of the connection file; message refused.';
    const changed = encodeMessage(message, KEY);
    changed[6] = Buffer.from('{"code":"process.exit()"}');
    const cut = encodeMessage(message, KEY);
    cut[2] = cut[2].subarray(0, 10);
    for (const frames of [encodeMessage(message, 'other'), encodeMessage(message, ''), changed, cut]) {
      const error = errorOf(() => decodeMessage(frames, KEY));
      expect(error.code).toBe('INVALID_ARGUMENT');
      expect(error.message).toBe(wrong);
    }
  });

  it('are refused where frames are missing', () => {
    const frames = encodeMessage(message, KEY);
    for (const broken of [[], [Buffer.from('x')], frames.slice(0, 5)]) {
      expect(errorOf(() => decodeMessage(broken, KEY)).message).toContain('that are no Jupyter message');
    }
  });
});

describe('a connection file', () => {
  const ports = { shell_port: 1, iopub_port: 2, stdin_port: 3, control_port: 4, hb_port: 5 };
  const good = {
    transport: 'tcp',
    ip: '127.0.0.1',
    ...ports,
    key: 'k',
    signature_scheme: 'hmac-sha256',
    kernel_name: 'x',
  };

  it('is read', () => {
    expect(parseConnectionInfo(JSON.stringify(good), 'f.json')).toEqual(good);
  });

  it.each([
    [{ transport: 'ipc' }, 'got transport "ipc"; wanted "tcp".'],
    [{ key: undefined }, 'got no key; wanted the secret of the signatures, or "".'],
    [{ signature_scheme: 'md5' }, 'got signature_scheme "md5"; wanted "hmac-sha256".'],
    [{ hb_port: '5' }, 'got hb_port "5"; wanted a port number, or 0 for any.'],
  ])('is refused with %j', (change, text) => {
    const error = errorOf(() => parseConnectionInfo(JSON.stringify({ ...good, ...change }), 'f.json'));
    expect(error.code).toBe('FILE_FORMAT');
    expect(error.message).toBe(`connection file f.json: ${text}`);
  });
});
