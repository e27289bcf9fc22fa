// The table of docs/conformance.md: which cases we answer in another way than Node, how, and why.

import { readFileSync } from 'node:fs';

const DOCUMENT = new URL('../../docs/conformance.md', import.meta.url);
const HEADING = '| case | Node | ours | why |';
const NOTHING = '–';

/** The rows by their case: `{ node, ours, why }`. */
export function readTable() {
  const lines = readFileSync(DOCUMENT, 'utf8').split('\n');
  const start = lines.indexOf(HEADING);
  if (start < 0) throw new Error(`docs/conformance.md has no table \`${HEADING}\``);
  const rows = new Map();
  for (const line of lines.slice(start + 2)) {
    if (!line.startsWith('| ')) break;
    const cells = line.slice(2, -2).split(' | ');
    if (cells.length !== 4) throw new Error(`docs/conformance.md: ${cells.length} cells instead of 4: ${line}`);
    const [id, node, ours, why] = cells;
    if (rows.has(id)) throw new Error(`docs/conformance.md has two rows for ${id}`);
    rows.set(id, { node, ours, why });
  }
  return rows;
}

/** The lines that only one of two transcripts has, as the cells of a row; `undefined` where they are the same. */
export function difference(node, ours) {
  if (node.join('\n') === ours.join('\n')) return undefined;
  const [onlyNode, onlyOurs] = [without(node, ours), without(ours, node)];
  // The same lines in another order.
  if (onlyNode.length + onlyOurs.length === 0) return { node: cell(node), ours: cell(ours) };
  return { node: cell(onlyNode), ours: cell(onlyOurs) };
}

export function row(id, { node, ours }, why) {
  return `| ${id} | ${node} | ${ours} | ${why} |`;
}

function without(lines, others) {
  const rest = [...others];
  return lines.filter((line) => {
    const at = rest.indexOf(line);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

function cell(lines) {
  return lines.length === 0 ? NOTHING : lines.map((line) => `\`${line}\``).join('<br>');
}
