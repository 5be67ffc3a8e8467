/** A graph as Graphviz DOT text. Knows node descriptions only; drawing the text is the display's business. */
import type { GraphNodeDescription } from '../device/backend';
import { formatBytes } from '../units';

const SHAPE: Record<GraphNodeDescription['kind'], string> = {
  kernel: 'box',
  copy: 'cds',
  fill: 'cylinder',
  empty: 'point',
};

/** One node per graph node, named `n<index>`; an edge from each node to those that depend on it. */
export function toDot(nodes: readonly GraphNodeDescription[]): string {
  const lines = ['digraph graph_of_work {', '  rankdir=TB;', '  node [fontname="sans-serif", fontsize=11];'];
  for (const node of nodes) {
    lines.push(`  n${node.index} [shape=${SHAPE[node.kind]}, label=${quoted(nodeLabel(node))}];`);
  }
  for (const node of nodes) {
    for (const dependency of node.dependencies) lines.push(`  n${dependency} -> n${node.index};`);
  }
  lines.push('}');
  return `${lines.join('\n')}\n`;
}

function nodeLabel(node: GraphNodeDescription): string {
  const parts = [`${node.index}: ${node.label}`];
  if (node.grid) parts.push(`grid ${node.grid.join(' × ')}`);
  if (node.byteLength !== undefined) parts.push(formatBytes(node.byteLength));
  return parts.join('\n');
}

/** A DOT string: quotes and backslashes escaped, line breaks as `\n`. */
function quoted(text: string): string {
  return `"${text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`;
}
