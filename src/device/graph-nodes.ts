/** Descriptions of graph nodes, from the addon's form to the seam's. */
import type { NativeGraphNode } from '../native/addon';
import type { GraphNodeDescription } from './backend';

export function describeNodes(nodes: readonly NativeGraphNode[]): GraphNodeDescription[] {
  return nodes.map(({ byte_length, nodes: children, bodies, ...node }, index) => ({
    index,
    ...node,
    ...(byte_length !== undefined && { byteLength: byte_length }),
    ...(children && { nodes: describeNodes(children) }),
    ...(bodies && { bodies: bodies.map(describeNodes) }),
  }));
}
