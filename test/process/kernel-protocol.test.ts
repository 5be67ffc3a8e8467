/** The kernel as a front end meets it: messages, order, interrupts, and what it refuses. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as zmq from 'zeromq';
import {
  type DisplayNote,
  decodeMessage,
  encodeMessage,
  type Message,
  makeHeader,
} from '../../src/notebook/run/protocol';
import { streamText, TestKernel, temporaryFolder } from '../support/notebooks';

const folder = temporaryFolder();
let kernel: TestKernel;
let refused = '';

beforeAll(async () => {
  kernel = await TestKernel.start({
    cwd: folder,
    onNativeOutput: (_, text) => {
      refused += text;
    },
  });
}, 60_000);
afterAll(() => kernel.stop());

describe('a cell', () => {
  it('is announced, printed, answered with a result, and counted', async () => {
    const { reply, published } = await kernel.execute('const x = 41;\nconsole.log("out");\nx + 1');
    const count = reply.content.execution_count;
    expect(reply.content).toMatchObject({ status: 'ok', payload: [], user_expressions: {} });
    expect(published.map(({ header, content }) => [header.msg_type, content])).toEqual([
      ['execute_input', { code: 'const x = 41;\nconsole.log("out");\nx + 1', execution_count: count }],
      ['stream', { name: 'stdout', text: 'out\n' }],
      ['execute_result', { execution_count: count, data: { 'text/plain': '42' }, metadata: {} }],
    ]);
    const next = await kernel.execute('x');
    expect(next.reply.content.execution_count).toBe((count as number) + 1);
  });

  it('answers a failure in the message and in the reply', async () => {
    const { reply, published } = await kernel.execute('throw new TypeError("wrong");');
    expect(reply.content).toMatchObject({ status: 'error', ename: 'TypeError', evalue: 'wrong' });
    const error = published.find(({ header }) => header.msg_type === 'error');
    expect(error?.content).toEqual({ ename: 'TypeError', evalue: 'wrong', traceback: reply.content.traceback });
  });

  it('may use the package and redeclare its names', async () => {
    const { reply } = await kernel.execute(
      'const problem = 5; const policies = 6; const Buffer2 = Buffer.from("a"); problem + policies',
    );
    expect(reply.content.status).toBe('ok');
  });

  it('is silent when asked to be', async () => {
    const { published, reply } = await kernel.execute('1 + 1', { silent: true });
    expect(reply.content.status).toBe('ok');
    expect(published).toEqual([]);
  });

  it('goes on where a display throws or is no bundle, and says so', async () => {
    const shows = (body: string): string => `({ a: 1, [Symbol.for('Jupyter.display')]() { ${body} } })`;
    const failures = {
      [shows('throw new Error("no paint");')]: 'no paint',
      [shows('return 7;')]: 'it returned a number, not a mime bundle',
      [shows('return { html: "" };')]: "'html' is not a mime type",
      [shows('const c: any = {}; c.c = c; return { "application/json": c };')]: 'Converting circular structure to JSON',
      '({ [Symbol.for("nodejs.util.inspect.custom")]() { throw new Error("no text"); } })': 'no text',
    };
    for (const [code, reason] of Object.entries(failures)) {
      const { reply, published } = await kernel.execute(code);
      expect(reply.content.status).toBe('ok');
      const { content, metadata } = published.at(-1) as Message;
      const note = metadata.warpbook as DisplayNote;
      expect(note.displayFailure).toContain(reason);
      const text = (content.data as Record<string, string>)['text/plain'];
      if (code.includes('Jupyter')) expect(text).toMatch(/^\{\s+a: 1,.*\n\(its display failed: .*\)$/s);
      else expect(text).toContain('nodejs.util.inspect.custom');
    }
  });

  it('shows through the display of tslab as well', async () => {
    const { published } = await kernel.execute("import * as tslab from 'tslab';\ntslab.display.html('<i>t</i>');");
    expect(published.find(({ header }) => header.msg_type === 'display_data')?.content.data).toEqual({
      'text/html': '<i>t</i>',
    });
  });
});

describe('cells that wait', () => {
  it('are aborted by a failure, and those sent after it are run', async () => {
    const replies = await Promise.all(
      ['await 0; throw new Error("stop")', '"queued"', '"queued too"'].map((code) => kernel.execute(code)),
    );
    expect(replies.map(({ reply }) => reply.content.status)).toEqual(['error', 'aborted', 'aborted']);
    expect((await kernel.execute('"after"')).reply.content.status).toBe('ok');
  });

  it('are aborted also when the failed cell kept the loop busy', async () => {
    const busy = 'const end = Date.now() + 200; while (Date.now() < end) {} throw new Error("stop")';
    const [failed, queued] = await Promise.all([kernel.execute(busy), kernel.execute('"queued"')]);
    expect([failed, queued].map(({ reply }) => reply.content.status)).toEqual(['error', 'aborted']);
  });

  it('are run where stop_on_error is off', async () => {
    const [failed, next] = await Promise.all([
      kernel.execute('throw new Error("go on")', { stop_on_error: false }),
      kernel.execute('"next"'),
    ]);
    expect([failed, next].map(({ reply }) => reply.content.status)).toEqual(['error', 'ok']);
  });
});

describe('a question', () => {
  it('is answered: who are you', async () => {
    const { content } = await kernel.client.request('shell', 'kernel_info_request', {});
    expect(content).toMatchObject({ status: 'ok', protocol_version: '5.3', implementation: 'warpbook' });
    expect(content.language_info).toMatchObject({ name: 'typescript', file_extension: '.ts' });
  });

  it('is answered: comms, history', async () => {
    expect((await kernel.client.request('shell', 'comm_info_request', {})).content).toEqual({
      status: 'ok',
      comms: {},
    });
    await kernel.execute('"for the history"');
    const ask = (content: object) => kernel.client.request('shell', 'history_request', { ...content });
    const tail = (await ask({ hist_access_type: 'tail', n: 1 })).content;
    expect(tail).toEqual({ status: 'ok', history: [[0, expect.any(Number), '"for the history"']] });
    const found = (await ask({ hist_access_type: 'search', pattern: '*for the h?story*' })).content;
    expect(found).toEqual(tail);
  });

  it('is answered: is it complete', async () => {
    const ask = async (code: string) => (await kernel.client.request('shell', 'is_complete_request', { code })).content;
    expect(await ask('1 + 1')).toEqual({ status: 'complete' });
    expect(await ask('function f() {')).toEqual({ status: 'incomplete', indent: '  ' });
  });

  it('is answered: completions and types, counted in characters', async () => {
    await kernel.execute('const longName: number = 1;');
    const code = '"🎈"; longNa';
    const points = [...code].length;
    const { content } = await kernel.client.request('shell', 'complete_request', { code, cursor_pos: points });
    expect(content).toMatchObject({ status: 'ok', cursor_start: points - 6, cursor_end: points });
    expect(content.matches).toContain('longName');
    const info = await kernel.client.request('shell', 'inspect_request', {
      code: 'longName',
      cursor_pos: 2,
      detail_level: 0,
    });
    expect(info.content).toMatchObject({ status: 'ok', found: true });
    expect((info.content.data as Record<string, string>)['text/plain']).toContain('const longName: number');
  });

  it('is refused with a wrong signature, and the kernel goes on', async () => {
    const socket = new zmq.Dealer({ linger: 0 });
    socket.connect(`tcp://${kernel.info.ip}:${kernel.info.shell_port}`);
    const ask = (key: string, code: string) => {
      const header = makeHeader('execute_request', 'intruder');
      return socket.send(
        encodeMessage({ identities: [], header, parentHeader: {}, metadata: {}, content: { code } }, key),
      );
    };
    await ask('a wrong key', 'console.log("intruder"); globalThis.broken = true');
    await ask(kernel.info.key, 'typeof (globalThis as any).broken');
    const reply = decodeMessage((await socket.receive()) as Buffer[], kernel.info.key);
    socket.close();
    expect(reply.content.status).toBe('ok');
    expect(streamText(kernel.published)).not.toContain('intruder');
    await expect.poll(() => refused).toContain('got a message with a wrong signature');
  });

  it.each([
    ['a wrong key', (frames: Buffer[]) => frames],
    ['no signature', ([delimiter, , ...parts]: Buffer[]) => [delimiter, Buffer.alloc(0), ...parts]],
    ['half a signature', ([delimiter, hmac, ...parts]: Buffer[]) => [delimiter, hmac.subarray(0, 32), ...parts]],
    ['another content', (frames: Buffer[]) => [...frames.slice(0, -1), Buffer.from('{"restart":true}')]],
  ])('cannot end or interrupt the kernel with %s', async (how, change) => {
    const { info } = kernel;
    const control = new zmq.Dealer({ linger: 0 });
    control.connect(`tcp://${info.ip}:${info.control_port}`);
    refused = '';
    for (const type of ['interrupt_request', 'shutdown_request']) {
      const message = { identities: [], header: makeHeader(type, 'intruder'), parentHeader: {}, metadata: {} };
      const key = how === 'a wrong key' ? how : info.key;
      await control.send(change(encodeMessage({ ...message, content: { restart: false } }, key)));
    }
    await expect.poll(() => refused.match(/wrong signature/g)?.length).toBe(2);
    control.close();
    expect((await kernel.execute('"alive"')).reply.content.status).toBe('ok');
  });
});

describe('the process', () => {
  it('ends on a shutdown request, well', async () => {
    const other = await TestKernel.start({ cwd: folder });
    const { content } = await other.client.request('control', 'shutdown_request', { restart: true });
    expect(content).toEqual({ status: 'ok', restart: true });
    expect(await other.process.exited).toEqual({ code: 0, signal: null });
    await other.stop();
  }, 60_000);

  it('dies with its parent, also in the middle of a loop', async () => {
    const script = `
      import('${join(__dirname, '../../dist/notebook/run/kernel-process.js')}').then(async ({ KernelProcess }) => {
        const kernel = new KernelProcess({ cwd: '.' });
        await kernel.connection(20000);
        const { KernelClient } = await import('${join(__dirname, '../../dist/notebook/run/kernel-client.js')}');
        const client = new KernelClient(await kernel.connection(1), () => {});
        await client.handshake();
        void client.request('shell', 'execute_request', { code: 'for (;;) {}' });
        setTimeout(() => { console.log(kernel.pid); process.kill(process.pid, 'SIGKILL'); }, 200);
      });`;
    const parent = spawn(process.execPath, ['-e', script], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    parent.stdout.on('data', (chunk) => {
      printed += chunk;
    });
    await new Promise((resolve) => parent.once('exit', resolve));
    const pid = Number(printed);
    expect(pid).toBeGreaterThan(0);
    await expect.poll(() => isAlive(pid), { timeout: 5000 }).toBe(false);
  }, 60_000);
});

/** A process that has ended and waits to be collected isn't alive. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const { readFileSync } = require('node:fs') as typeof import('node:fs');
  return process.platform !== 'linux' || !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}
