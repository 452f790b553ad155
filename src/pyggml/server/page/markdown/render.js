// Blocks -> elements. Every element is made by name and every text becomes a text node, so an answer cannot bring
// markup, scripts or styles of its own into the page.

import { element } from "../dom.js";
import { codeBlock } from "./code_block.js";
import { parseInline } from "./inline.js";

const MAKERS = {
  paragraph: ({ text }) => element("p", {}, ...inline(text)),
  // The page's own headings are above level 3.
  heading: ({ level, text }) => element(`h${Math.min(6, level + 2)}`, { "data-level": level }, ...inline(text)),
  code: ({ language, text }) => codeBlock(language, text),
  rule: () => element("hr"),
  quote: ({ blocks }) => element("blockquote", {}, ...blocks.map(blockElement)),
  list: ({ start, items }) =>
    start === null
      ? element("ul", {}, ...items.map(itemElement))
      : element("ol", { start: start === 1 ? null : start }, ...items.map(itemElement)),
  table: tableElement,
};

/** The element of one block. */
export function blockElement(block) {
  return MAKERS[block.kind](block);
}

function itemElement({ done, blocks }) {
  const box = done === null ? null : element("input", { type: "checkbox", disabled: true, checked: done });
  return element("li", { class: box && "task" }, box, ...blocks.map(blockElement));
}

function tableElement({ alignments, header, rows }) {
  const row = (cells, tag) =>
    element("tr", {}, ...cells.map((cell, i) => element(tag, { class: alignments[i] }, ...inline(cell))));
  const head = element("thead", {}, row(header, "th"));
  const body = element("tbody", {}, ...rows.map((cells) => row(cells, "td")));
  // A wide table scrolls by itself, with the keyboard too.
  const about = { class: "table", tabindex: 0, role: "group", "aria-label": "table" };
  return element("div", about, element("table", {}, head, body));
}

function inline(text) {
  return parseInline(text).map(inlineNode);
}

function inlineNode(node) {
  if (typeof node === "string") return document.createTextNode(node);
  if (node.kind === "br") return element("br");
  if (node.kind === "code") return element("code", {}, node.text);
  const children = node.children.map(inlineNode);
  if (node.kind === "link") {
    return element("a", { href: node.address, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
  }
  return element(node.kind, {}, ...children);
}
