/** Tensors: dtype, shape and device in a line, then the values by NumPy's rules (only the visible corners are read). */
import type { MimeBundle } from '../renderers';
import type { Tensor } from '../tensor/tensor';
import { formatBytes } from '../units';
import { cleanLabel, cleanText, escapeHtml } from './escape';

export async function tensorBundle(tensor: Tensor): Promise<MimeBundle> {
  const shape = `[${tensor.shape.join(', ')}]`;
  const view = tensor.isContiguous ? '' : ', strided view';
  const header = cleanLabel(`${tensor.dtype} ${shape} on ${tensor.device.name}, ${formatBytes(tensor.nbytes)}${view}`);
  const values = cleanText(await tensor.print());
  return {
    'text/html': `<div><strong>${escapeHtml(header)}</strong></div><pre>${escapeHtml(values)}</pre>`,
    'text/plain': `${header}\n${values}`,
  };
}
