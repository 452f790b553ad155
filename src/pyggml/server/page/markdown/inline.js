// Text inside a block -> a tree: code, emphasis, links, line breaks. After CommonMark and GitHub's extensions.
//
// A node is a string, or {kind, children} with kind em, strong, del or link (which has an address too),
// {kind: "code", text} or {kind: "br"}. Everything here takes time in proportion to the text, whatever the text is.

import { safeAddress } from "./links.js";

/** Emphasis that lies deeper, and longer runs of its marks, are shown as they were written. */
const MAX_DEPTH = 16;
const MAX_RUN = 6;
const LABEL = /(!?)\[((?:[^[\]\\]|\\.|\[[^[\]]{0,200}\]){0,1000})\]/.source;
const TARGET = /\(\s*<?([^\s<>()]*(?:\([^\s()]*\)[^\s<>()]*){0,8})>?(?:\s+"[^"]{0,200}")?\s*\)/.source;
const LINK = new RegExp(LABEL + TARGET, "y");
const ADDRESS = /<?(https?:\/\/[^\s<>"'`|]+|mailto:[^\s<>"'`|]+)>?/y;
const ESCAPED = /\\([!-/:-@[-`{-~])/y;
const DELIMITERS = /\*+|_+|~~/y;
const PLAIN = /[^\\`*_~[!<hm\n]+|[^]/y;
const WORD = /[\p{L}\p{N}]/u;
const KINDS = { "*": ["em", "strong"], _: ["em", "strong"], "~": ["del", "del"] };

/** A paragraph's text as nodes. */
export function parseInline(text) {
  return nest(scan(text));
}

/** The pieces of a text: nodes that are finished, and runs of delimiters {mark, n, opens, closes}. */
function scan(text) {
  const pieces = [];
  for (let at = 0; at < text.length; ) {
    const [piece, end] = pieceAt(text, at);
    pieces.push(piece);
    at = end;
  }
  return pieces;
}

function pieceAt(text, at) {
  const first = text[at];
  const match = (pattern) => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  if (first === "\n") return [{ kind: "br" }, at + 1];
  if (first === "`") return codeAt(text, at);
  let found;
  if (first === "\\" && (found = match(ESCAPED))) return [found[1], at + 2];
  if ((first === "[" || first === "!") && (found = match(LINK))) {
    const link = linkOf(found);
    if (link) return [link, at + found[0].length];
  }
  const isWordStart = (first === "h" || first === "m") && !WORD.test(text[at - 1] ?? "");
  if ((first === "<" || isWordStart) && (found = match(ADDRESS))) {
    const [link, length] = addressOf(found, first === "<");
    if (link) return [link, at + length];
  }
  found = match(DELIMITERS);
  if (found && found[0].length <= MAX_RUN) return [runOf(text, at, found[0]), at + found[0].length];
  found ??= match(PLAIN);
  return [found[0], at + found[0].length];
}

/** Code between two equal runs of backticks; one blank on each side belongs to the marks. */
function codeAt(text, at) {
  let n = 1;
  while (text[at + n] === "`") n += 1;
  const mark = "`".repeat(n);
  for (let end = text.indexOf(mark, at + n); end >= 0; end = text.indexOf(mark, end)) {
    let after = end + n;
    if (text[after] !== "`") {
      const inside = text.slice(at + n, end).replaceAll("\n", " ");
      return [{ kind: "code", text: isPadded(inside) ? inside.slice(1, -1) : inside }, after];
    }
    while (text[after] === "`") after += 1;
    end = after;
  }
  return [mark, at + n];
}

function isPadded(code) {
  return code.startsWith(" ") && code.endsWith(" ") && code.trim() !== "";
}

/** [text](address), and a picture as a link to it: the page loads nothing from elsewhere. */
function linkOf([, isPicture, label, target]) {
  const address = safeAddress(target);
  if (!address) return null;
  return { kind: "link", address, children: isPicture ? [label || target] : parseLabel(label) };
}

/** A link's text: emphasis and code, but no link in a link. */
function parseLabel(label) {
  const flat = (nodes) =>
    nodes.flatMap((node) => {
      if (node.kind === "link") return flat(node.children);
      return node.children ? [{ ...node, children: flat(node.children) }] : [node];
    });
  return flat(parseInline(label));
}

/** An address that stands in the text, without the punctuation that follows it; and its length in the text. */
function addressOf([whole, target], isBracketed) {
  const isClosed = isBracketed && whole.endsWith(">");
  if (isBracketed && !isClosed) return [null, 0];
  let shown = target;
  if (!isClosed) {
    shown = shown.replace(/[.,;:!?*_~]{1,20}$/, "");
    if (shown.endsWith(")") && !shown.includes("(")) shown = shown.slice(0, -1);
  }
  const address = safeAddress(shown);
  return [address && { kind: "link", address, children: [shown] }, isClosed ? whole.length : shown.length];
}

/** A run of delimiters, and whether emphasis can begin and end with it: an underscore only at the border of a word. */
function runOf(text, at, run) {
  const before = text[at - 1] ?? " ";
  const after = text[at + run.length] ?? " ";
  const isAtBorder = (neighbour) => run[0] !== "_" || !WORD.test(neighbour);
  return {
    mark: run[0],
    n: run.length,
    opens: !/\s/.test(after) && isAtBorder(before),
    closes: !/\s/.test(before) && isAtBorder(after),
  };
}

/** Pairs the runs of delimiters. */
function nest(pieces) {
  const frames = [{ children: [] }];
  const nOpen = { "*": 0, _: 0, "~": 0 };
  for (const piece of pieces) {
    if (!piece.mark) {
      frames.at(-1).children.push(piece);
      continue;
    }
    let left = piece.n;
    while (piece.closes && left > 0 && nOpen[piece.mark] > 0) left -= close(frames, nOpen, piece.mark, left);
    if (left === 0) continue;
    if (piece.opens && frames.length <= MAX_DEPTH) {
      frames.push({ mark: piece.mark, n: left, children: [] });
      nOpen[piece.mark] += 1;
    } else {
      frames.at(-1).children.push(piece.mark.repeat(left));
    }
  }
  flatten(frames, 0);
  return joined(frames[0].children);
}

/** Ends the innermost emphasis of a mark, two marks at once if both sides have them; how many it took. */
function close(frames, nOpen, mark, left) {
  const index = frames.findLastIndex((frame) => frame.mark === mark);
  for (const frame of frames.slice(index + 1)) nOpen[frame.mark] -= 1;
  flatten(frames, index);
  const frame = frames[index];
  const n = Math.min(2, left, frame.n);
  const node = { kind: KINDS[mark][n - 1], children: joined(frame.children) };
  frame.n -= n;
  frame.children = [node];
  if (frame.n === 0) {
    frames.pop();
    nOpen[mark] -= 1;
    frames.at(-1).children.push(node);
  }
  return n;
}

/** Puts what was opened above frame `index` and never closed back as text. */
function flatten(frames, index) {
  const target = frames[index].children;
  for (const frame of frames.splice(index + 1)) {
    target.push(frame.mark.repeat(frame.n));
    for (const child of frame.children) target.push(child);
  }
}

/** Neighbouring strings made one. */
function joined(nodes) {
  const result = [];
  let texts = [];
  for (const node of nodes) {
    if (typeof node === "string") {
      texts.push(node);
      continue;
    }
    if (texts.length) result.push(texts.join(""));
    texts = [];
    result.push(node);
  }
  if (texts.length) result.push(texts.join(""));
  return result;
}
