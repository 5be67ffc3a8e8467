/** A graph as Graphviz DOT text. Knows node descriptions only; drawing the text is the display's business. */
import type { GraphNodeDescription } from '../device/backend';
import { formatBytes } from '../units';

const SHAPE: Record<GraphNodeDescription['kind'], string> = {
  kernel: 'box',
  copy: 'cds',
  fill: 'cylinder',
  empty: 'point',
  graph: 'component',
  conditional: 'diamond',
};

/**
 * One node per graph node, named `n<index>`; an edge from each node to those that depend on it. A child graph is a cluster
 * around its own nodes (`n2_0`, `n2_1`, …), and edges to and from it end at the cluster's border.
 */
export function toDot(nodes: readonly GraphNodeDescription[]): string {
  const compound = nodes.some((node) => node.nodes) ? ['  compound=true;'] : [];
  const head = ['digraph graph_of_work {', '  rankdir=TB;', ...compound];
  const lines = [...head, '  node [fontname="sans-serif", fontsize=11];', ...graphLines(nodes, 'n', '  '), '}'];
  return `${lines.join('\n')}\n`;
}

function graphLines(nodes: readonly GraphNodeDescription[], prefix: string, indent: string): string[] {
  return [
    ...nodes.flatMap((node) => nodeLines(node, prefix, indent)),
    ...nodes.flatMap((node) => node.dependencies.map((index) => `${indent}${edge(nodes[index], node, prefix)};`)),
  ];
}

function nodeLines(node: GraphNodeDescription, prefix: string, indent: string): string[] {
  const id = `${prefix}${node.index}`;
  const label = quoted(nodeLabel(node));
  if (!node.nodes || node.nodes.length === 0) return [`${indent}${id} [shape=${SHAPE[node.kind]}, label=${label}];`];
  return [
    `${indent}subgraph cluster_${id} {`,
    `${indent}  label=${label}; fontname="sans-serif"; fontsize=11; style=rounded;`,
    ...graphLines(node.nodes, `${id}_`, `${indent}  `),
    `${indent}}`,
  ];
}

function edge(from: GraphNodeDescription, to: GraphNodeDescription, prefix: string): string {
  const [tail, head] = [endOf(from, prefix, 'last'), endOf(to, prefix, 'first')];
  const borders = [
    ...(tail.cluster ? [`ltail=${tail.cluster}`] : []),
    ...(head.cluster ? [`lhead=${head.cluster}`] : []),
  ];
  return `${tail.id} -> ${head.id}${borders.length > 0 ? ` [${borders.join(', ')}]` : ''}`;
}

/** The node that an edge is tied to: itself, or one inside of a child graph, and then the border at which it ends. */
function endOf(node: GraphNodeDescription, prefix: string, which: 'first' | 'last'): { id: string; cluster?: string } {
  const id = `${prefix}${node.index}`;
  const inner = which === 'first' ? node.nodes?.[0] : node.nodes?.at(-1);
  return inner ? { id: endOf(inner, `${id}_`, which).id, cluster: `cluster_${id}` } : { id };
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
