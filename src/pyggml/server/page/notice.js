// A sentence above the conversation that stays until it is dismissed or no longer true.

import { find } from "./dom.js";

/** Show a sentence in place of the one that is there; an empty one takes it away. */
export function notify(sentence) {
  find("#notice-text").textContent = sentence;
  find("#notice").hidden = !sentence;
}

/** Let the user dismiss the sentence. */
export function connectNotice() {
  find("#notice-close").addEventListener("click", () => {
    notify("");
    find("#message").focus();
  });
}
