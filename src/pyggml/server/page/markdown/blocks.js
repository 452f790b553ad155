// Text -> a list of blocks. After CommonMark and GitHub's extensions, with what models write in mind: a line break
// in a paragraph is one, and indented text is no code.
//
// A block is one of
//   {kind: "paragraph", text}
//   {kind: "heading", level, text}
//   {kind: "code", language, text}
//   {kind: "rule"}
//   {kind: "quote", blocks}
//   {kind: "list", start, items}    items are {done, blocks}; start is null without numbers, done null without a box
//   {kind: "table", alignments, header, rows}    with cells of text

import { isTable, tableAt } from "./tables.js";

/** Lists and quotes that lie deeper are shown as they were written. */
const MAX_DEPTH = 12;
/** How far a blank at the beginning of a line indents it. */
const COLUMNS = { " ": 1, "\t": 4 };
const FENCE = /^(\s*)(?:(`{3,})([^`]*)|(~{3,})(.*))$/;
const HEADING = /^\s{0,3}(#{1,6})(?:\s+(.*))?$/;
const RULE = /^\s{0,3}(?:\*[ \t]*){3,}$|^\s{0,3}(?:-[ \t]*){3,}$|^\s{0,3}(?:_[ \t]*){3,}$/;
const QUOTE = /^\s{0,3}> ?/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])(\s+|$)/;
/** An item that can follow a paragraph's line; a number at the beginning of a line is none, as in "1984. It was". */
const NEW_ITEM = /^\s*(?:[-*+]|1[.)])\s+\S/;
const BOX = /^\[([ xX])\]\s+/;

/** The blocks of a text. */
export function parseBlocks(text) {
  return parseLines(text.replaceAll("\r\n", "\n").split("\n"), 0);
}

function parseLines(lines, depth) {
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (isBlank(lines[at])) {
      at += 1;
      continue;
    }
    const [block, end] = blockAt(lines, at, depth);
    blocks.push(block);
    at = end;
  }
  return blocks;
}

/** The block that begins in a line, and the line after it. */
function blockAt(lines, at, depth) {
  const line = lines[at];
  if (FENCE.test(line)) return codeAt(lines, at);
  if (HEADING.test(line)) return [headingOf(line), at + 1];
  if (RULE.test(line)) return [{ kind: "rule" }, at + 1];
  if (depth < MAX_DEPTH && QUOTE.test(line)) return quoteAt(lines, at, depth);
  if (depth < MAX_DEPTH && ITEM.test(line)) return listAt(lines, at, depth);
  if (isTable(lines, at)) return tableAt(lines, at);
  return paragraphAt(lines, at, depth);
}

/** Whether a paragraph ends before a line; `item` is what an item begins with there. */
function isSpecial(lines, at, depth, item) {
  const marks = depth < MAX_DEPTH ? [FENCE, HEADING, RULE, QUOTE, item] : [FENCE, HEADING, RULE];
  return marks.some((mark) => mark.test(lines[at])) || isTable(lines, at);
}

function isBlank(line) {
  return line.trim() === "";
}

function headingOf(line) {
  const [, marks, text = ""] = HEADING.exec(line);
  return { kind: "heading", level: marks.length, text: text.trim().replace(/(^|\s)#{1,6}$/, "").trim() };
}

function paragraphAt(lines, at, depth) {
  let end = at + 1;
  while (end < lines.length && !isBlank(lines[end]) && !isSpecial(lines, end, depth, NEW_ITEM)) end += 1;
  const text = lines
    .slice(at, end)
    .map((line) => line.trim())
    .join("\n");
  return [{ kind: "paragraph", text }, end];
}

/** Code between fences; one that is not closed yet goes to the end. */
function codeAt(lines, at) {
  const [, indent, ticks, info, waves, waveInfo] = FENCE.exec(lines[at]);
  const mark = ticks ?? waves;
  const isEnd = (line) => line.startsWith(mark) && line === mark[0].repeat(line.length);
  let end = at + 1;
  while (end < lines.length && !isEnd(lines[end].trim())) end += 1;
  const text = lines.slice(at + 1, end).map((line) => unindented(line, indentOf(indent)));
  const [language] = (info ?? waveInfo).trim().split(/\s/, 1);
  return [{ kind: "code", language, text: text.join("\n") }, end + 1];
}

/** A line without up to n columns of blanks at its beginning. */
function unindented(line, n) {
  let at = 0;
  for (let columns = 0; columns < n && line[at] in COLUMNS; at += 1) columns += COLUMNS[line[at]];
  return line.slice(at);
}

/** How many columns of blanks a line begins with. */
function indentOf(line) {
  let columns = 0;
  for (let at = 0; line[at] in COLUMNS; at += 1) columns += COLUMNS[line[at]];
  return columns;
}

function quoteAt(lines, at, depth) {
  let end = at;
  const inside = [];
  while (end < lines.length && QUOTE.test(lines[end])) inside.push(lines[end++].replace(QUOTE, ""));
  return [{ kind: "quote", blocks: parseLines(inside, depth + 1) }, end];
}

function listAt(lines, at, depth) {
  const [, , first] = ITEM.exec(lines[at]);
  const isNumbered = /\d/.test(first);
  const items = [];
  let end = at;
  for (let marker; end < lines.length && (marker = markerOf(lines[end], first)); ) {
    const [item, next] = itemAt(lines, end, marker, depth);
    items.push(item);
    end = skipBlank(lines, next);
  }
  return [{ kind: "list", start: isNumbered ? parseInt(first, 10) : null, items }, end];
}

/** The marker of a line that begins an item of the same list; null if it does not. */
function markerOf(line, first) {
  const found = ITEM.exec(line);
  const isSame = found && !RULE.test(line) && found[2].at(-1) === first.at(-1);
  return isSame ? found : null;
}

function skipBlank(lines, at) {
  while (at < lines.length && isBlank(lines[at])) at += 1;
  return at;
}

/** An item: its first line, and what follows indented, or without a blank line between. */
function itemAt(lines, at, [whole, indent, marker, space], depth) {
  const outer = indentOf(indent);
  const inner = outer + marker.length + (space.length > 4 ? 1 : Math.max(1, space.length));
  const least = outer + 2;
  const inside = [lines[at].slice(whole.length)];
  let end = at + 1;
  for (let next; (next = nextOf(lines, end, least, depth)) !== null; end = next) {
    inside.push(...lines.slice(end, next).map((line) => unindented(line, inner)));
  }
  const box = BOX.exec(inside[0]);
  if (box) inside[0] = inside[0].slice(box[0].length);
  return [{ done: box && box[1] !== " ", blocks: parseLines(inside, depth + 1) }, end];
}

/** Where an item goes on after the lines that begin at `at`, blank ones and one more; null if it ends before them. */
function nextOf(lines, at, least, depth) {
  const written = skipBlank(lines, at);
  if (written === lines.length) return null;
  if (indentOf(lines[written]) >= least) return written + 1;
  return written === at && !isSpecial(lines, at, depth, ITEM) ? at + 1 : null;
}
