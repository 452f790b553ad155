// Short news for people who listen to the page.

import { find } from "./dom.js";

/** Say a sentence through the page's status line. */
export function announce(sentence) {
  find("#status").textContent = sentence;
}
