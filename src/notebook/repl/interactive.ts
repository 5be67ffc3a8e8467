/**
 * A REPL on a terminal. Node's own REPL server brings line editing, history with search, continuation lines and an editor
 * mode; what is typed runs in a kernel, so an interrupt stops anything and a crash costs a restart. Knows no protocol.
 */
import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { type REPLServer, Recoverable, start } from 'node:repl';
import { Writable } from 'node:stream';
import type { AnswerPrompt } from '../run/kernel-client';
import type { ReplKernel } from './repl-kernel';
import type { TerminalOutput } from './terminal-output';

const PROMPT = '> ';
/** A longer list is no help. */
const MAX_CANDIDATES = 200;

export interface Interactive {
  readonly output: TerminalOutput;
  readonly input: NodeJS.ReadableStream;
  readonly stdout: NodeJS.WritableStream;
  readonly colors: boolean;
  /** Where the history is kept; see {@link historyFile}. */
  readonly history: string | undefined;
  /** Starts a kernel whose cells ask the user through `onPrompt`. */
  startKernel(onPrompt: AnswerPrompt): Promise<ReplKernel>;
}

/** Where a user's history is kept: `WARPBOOK_HISTORY`, or the state folder; '' keeps none. */
export function historyFile(env: NodeJS.ProcessEnv): string | undefined {
  const { WARPBOOK_HISTORY, XDG_STATE_HOME } = env;
  if (WARPBOOK_HISTORY !== undefined) return WARPBOOK_HISTORY === '' ? undefined : WARPBOOK_HISTORY;
  return join(XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'warpbook', 'history');
}

/** Reads, runs and prints until the user leaves. */
export async function runInteractive(options: Interactive): Promise<void> {
  const { output } = options;
  let server: REPLServer | undefined;
  const onPrompt: AnswerPrompt = (text, password) => ask(server as REPLServer, text, password);
  let kernel = await options.startKernel(onPrompt);
  let running = false;
  /** Lines of a statement that isn't complete yet. */
  let pending = '';

  const restart = async (): Promise<void> => {
    await kernel.close();
    kernel = await options.startKernel(onPrompt);
  };
  const evaluate = async (code: string): Promise<Error | null> => {
    pending = '';
    if (code.trim() === '') return null;
    const state = await kernel.completeness(code);
    if (!state.complete) {
      pending = code;
      return new Recoverable(new SyntaxError('incomplete'));
    }
    await kernel.run(code);
    return null;
  };

  server = start({
    prompt: PROMPT,
    input: options.input,
    output: options.stdout,
    terminal: true,
    useColors: options.colors,
    ignoreUndefined: true,
    preview: false,
    // The kernel prints results itself; nothing is evaluated in this process.
    writer: () => '',
    eval: (code, _context, _file, done) => {
      running = true;
      evaluate(code)
        .catch(async (error: Error) => {
          output.endLine();
          output.write(`${error.message} A new one is starting; variables are gone.\n`, true);
          await restart();
          return null;
        })
        .then((result) => {
          running = false;
          output.endLine();
          done(result, undefined);
        });
    },
    completer: (line: string, done: (error: Error | null, result: [string[], string]) => void) => {
      kernel.completions(pending + line).then(
        ({ matches, length }) => {
          const typed = line.slice(line.length - length);
          // Readline puts in what all candidates share, so they have to begin with what is typed.
          const fitting = matches.filter((match) => match.startsWith(typed)).slice(0, MAX_CANDIDATES);
          done(null, [fitting, typed]);
        },
        () => done(null, [[], line]),
      );
    },
  });

  interruptFirst(server, () => {
    if (running) kernel.interrupt();
    else pending = '';
    return running;
  });
  server.defineCommand('restart', {
    help: 'Start a new kernel; variables are gone',
    action() {
      this.clearBufferedCommand();
      pending = '';
      void restart().then(() => this.displayPrompt());
    },
  });
  if (options.history !== undefined) keepHistory(server, options.history);
  await new Promise<void>((resolve) => server.once('exit', resolve));
  await kernel.close();
}

/** Ctrl-C goes to the running code; at the prompt it does what Node's REPL does with it. */
function interruptFirst(server: REPLServer, interrupt: () => boolean): void {
  const own = server.listeners('SIGINT') as (() => void)[];
  server.removeAllListeners('SIGINT');
  server.on('SIGINT', () => {
    if (interrupt()) return;
    for (const listener of own) listener.call(server);
  });
}

function keepHistory(server: REPLServer, file: string): void {
  // A history that can't be kept is no reason not to start.
  const failed = (error: Error): void => void process.stderr.write(`The history isn't kept: ${error.message}\n`);
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  } catch (error) {
    failed(error as Error);
    return;
  }
  server.setupHistory(file, (error) => {
    if (error) failed(error);
  });
}

/** Asks in the line that the server edits; a password's characters go nowhere. */
function ask(server: REPLServer, text: string, password: boolean): Promise<string> {
  return new Promise((resolve) => {
    const holder = server as unknown as { output: NodeJS.WritableStream };
    const { output } = holder;
    if (password) {
      output.write(text);
      holder.output = new Writable({ write: (_chunk, _encoding, done) => done() });
    }
    server.question(password ? '' : text, (answer) => {
      if (password) {
        holder.output = output;
        output.write('\n');
      }
      resolve(answer);
    });
  });
}
