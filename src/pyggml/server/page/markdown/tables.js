// Tables: lines of cells between bars, the second line saying how they are aligned.

const ALIGNMENT = /^:?-+:?$/;

/** Whether a table begins in a line. */
export function isTable(lines, at) {
  if (!lines[at].includes("|") || !lines[at + 1]?.includes("|")) return false;
  const marks = cellsOf(lines[at + 1]);
  return marks.every((mark) => ALIGNMENT.test(mark)) && marks.length === cellsOf(lines[at]).length;
}

/** The table that begins in a line, and the line after it. */
export function tableAt(lines, at) {
  const header = cellsOf(lines[at]);
  const alignments = cellsOf(lines[at + 1]).map(alignmentOf);
  let end = at + 2;
  const rows = [];
  for (; end < lines.length && lines[end].includes("|"); end += 1) {
    const cells = cellsOf(lines[end]);
    rows.push(header.map((_, column) => cells[column] ?? ""));
  }
  return [{ kind: "table", alignments, header, rows }, end];
}

/** A line's cells; a bar after a backslash is a bar. */
function cellsOf(line) {
  const inside = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inside.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function alignmentOf(mark) {
  const isRight = mark.endsWith(":");
  if (mark.startsWith(":")) return isRight ? "center" : "left";
  return isRight ? "right" : null;
}
