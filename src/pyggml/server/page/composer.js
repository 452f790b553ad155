// The field where messages are written, and the buttons that send and stop.

import { find } from "./dom.js";
import { fitHeight, isSendKey } from "./text_field.js";

/** Sends what is written to `chat`. Pictures will be added to #attachments and sent with the text. */
export class Composer {
  #chat;
  #field = find("#message");
  #drafts = new Map();
  #conversation = null;

  constructor(chat) {
    this.#chat = chat;
    this.#field.addEventListener("input", () => fitHeight(this.#field));
    this.#field.addEventListener("keydown", (event) => {
      if (!isSendKey(event)) return;
      event.preventDefault();
      this.#send();
    });
    find("#composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    find("#stop").addEventListener("click", () => chat.stop());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]")) chat.stop();
    });
    chat.addEventListener("conversation", () => this.#show());
  }

  /** Put the cursor into the field. */
  focus() {
    this.#field.focus();
  }

  #send() {
    const text = this.#field.value.trim();
    if (!text || this.#chat.running) return;
    this.#write("");
    this.#chat.send(text);
  }

  /** Shows what belongs to the open conversation: its buttons, and what was being written in it. */
  #show() {
    const { current, running } = this.#chat;
    if (this.#conversation !== current) {
      // What was written while the page was still loading stays.
      const written = this.#conversation ? "" : this.#field.value;
      if (this.#conversation) this.#drafts.set(draftName(this.#conversation), this.#field.value);
      this.#conversation = current;
      this.#write(this.#drafts.get(draftName(current)) ?? written);
    }
    const focused = document.activeElement;
    find("#send").hidden = Boolean(running);
    find("#stop").hidden = !running;
    if (focused === find("#send") && running) find("#stop").focus();
    if (focused === find("#stop") && !running) this.focus();
  }

  #write(text) {
    this.#field.value = text;
    fitHeight(this.#field);
  }
}

/** A draft's conversation; all that have not begun yet share one. */
function draftName({ id, messages }) {
  return messages.length ? id : "";
}
