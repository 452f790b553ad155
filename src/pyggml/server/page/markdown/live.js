// Markdown that grows: only the blocks that changed are made anew, so what one has selected above stays selected.

import { parseBlocks } from "./blocks.js";
import { blockElement } from "./render.js";

/** Shows a text that may change in an element. */
export class LiveMarkdown {
  #container;
  #shown = [];

  constructor(container) {
    this.#container = container;
  }

  /** Show this text. */
  show(text) {
    const blocks = parseBlocks(text);
    const wanted = blocks.map((block) => JSON.stringify(block));
    let n_same = 0;
    while (n_same < wanted.length && wanted[n_same] === this.#shown[n_same]) n_same += 1;
    while (this.#container.childNodes.length > n_same) this.#container.lastChild.remove();
    this.#container.append(...blocks.slice(n_same).map(blockElement));
    this.#shown = wanted;
  }
}
