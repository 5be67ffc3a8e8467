/**
 * Gathers what a kernel publishes into the cells' outputs as nbformat stores them: streams merged, displays updated and
 * cleared, late output put where it belongs. Knows no socket and no file.
 */
import type { ICodeCell, IOutput } from '@jupyterlab/nbformat';
import type { Content, DisplayNote, FailureNote, Message } from './protocol';

export interface LateFailure {
  readonly cell: ICodeCell;
  readonly note: FailureNote;
}

/** Outputs as they are built: streams in parts, since 200,000 lines come in many messages. */
interface Slot {
  output: IOutput;
  parts?: string[];
}

export class OutputCollector {
  /** Failures that came after their cell's reply. */
  readonly late: LateFailure[] = [];
  /** Displays that failed, by the cell that showed them. */
  readonly failedDisplays: { readonly cell: ICodeCell; readonly reason: string }[] = [];
  private readonly cells = new Map<string, { cell: ICodeCell; slots: Slot[]; clearNext: boolean }>();
  private readonly displays = new Map<string, Slot[]>();
  private last: string | undefined;

  /** The messages whose parent is `messageId` belong to `cell`, whose outputs start empty. */
  begin(messageId: string, cell: ICodeCell): void {
    this.cells.set(messageId, { cell, slots: [], clearNext: false });
    this.last = messageId;
  }

  add(message: Message): void {
    const id = message.parentHeader.msg_id;
    const target = this.cells.get(id ?? '');
    if (!target) return;
    const { content, metadata, header } = message;
    const note = (metadata.warpbook ?? {}) as Partial<FailureNote & DisplayNote>;
    if (note.displayFailure !== undefined) {
      this.failedDisplays.push({ cell: target.cell, reason: note.displayFailure });
    }
    if (note.late) this.late.push({ cell: target.cell, note: note as FailureNote });
    switch (header.msg_type) {
      case 'stream':
        this.stream(id as string, content.name as string, content.text as string);
        break;
      case 'display_data':
        this.push(
          id as string,
          { output_type: 'display_data', data: content.data, metadata: content.metadata } as IOutput,
          content,
        );
        break;
      case 'execute_result':
        this.push(
          id as string,
          {
            output_type: 'execute_result',
            execution_count: content.execution_count,
            data: content.data,
            metadata: content.metadata,
          } as IOutput,
          content,
        );
        break;
      case 'update_display_data':
        for (const slot of this.displays.get(displayId(content) ?? '') ?? []) {
          slot.output = { ...slot.output, data: content.data, metadata: content.metadata } as IOutput;
        }
        break;
      case 'error': {
        const { ename, evalue, traceback } = content;
        this.push(id as string, { output_type: 'error', ename, evalue, traceback } as IOutput, content);
        break;
      }
      case 'clear_output':
        if (content.wait === true) target.clearNext = true;
        else target.slots.length = 0;
        break;
    }
  }

  /** Text that the process printed past the kernel; it goes to the cell that was begun last. */
  addNative(stream: string, text: string): void {
    if (this.last !== undefined && text !== '') this.stream(this.last, stream, text);
  }

  /** Writes what was gathered into the cells. */
  store(): void {
    for (const { cell, slots } of this.cells.values()) {
      cell.outputs = slots.map(({ output, parts }) => (parts ? { ...output, text: parts.join('') } : output));
    }
  }

  private stream(id: string, name: string, text: string): void {
    const target = this.cells.get(id);
    const last = target?.clearNext ? undefined : target?.slots.at(-1);
    if (last?.parts && last.output.name === name) last.parts.push(text);
    else this.push(id, { output_type: 'stream', name, text: '' } as IOutput, {}, [text]);
  }

  private push(id: string, output: IOutput, content: Content, parts?: string[]): void {
    const target = this.cells.get(id);
    if (!target) return;
    if (target.clearNext) target.slots.length = 0;
    target.clearNext = false;
    const slot: Slot = { output, parts };
    target.slots.push(slot);
    const shownAs = displayId(content);
    if (shownAs !== undefined) this.displays.set(shownAs, [...(this.displays.get(shownAs) ?? []), slot]);
  }
}

function displayId(content: Content): string | undefined {
  return (content.transient as { display_id?: string } | undefined)?.display_id;
}
