// The field where messages are written, and the buttons that send and stop.

import { Attachments } from "./attachments.js";
import { find } from "./dom.js";
import { fitHeight, isSendKey } from "./text_field.js";

/** Sends what is written to `chat`, and the pictures that are attached. */
export class Composer {
  #chat;
  #field = find("#message");
  #attachments;
  #drafts = new Map();
  #conversation = null;

  constructor(chat) {
    this.#chat = chat;
    this.#attachments = new Attachments({ chat, list: find("#attachments"), area: document, field: this.#field });
    find("#composer .tools").prepend(...this.#attachments.chooser());
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
    const { pictures } = this.#attachments;
    if ((!text && !pictures.length) || this.#chat.running) return;
    this.#write("", []);
    this.#chat.send(text, pictures);
  }

  /** Shows what belongs to the open conversation: its buttons, and what was being written in it. */
  #show() {
    const { current, running } = this.#chat;
    if (this.#conversation !== current) {
      const { pictures } = this.#attachments;
      const written = { text: this.#field.value, pictures };
      // What was written while the page was still loading stays.
      const other = this.#conversation ? { text: "", pictures: [] } : written;
      if (this.#conversation) this.#drafts.set(draftName(this.#conversation), written);
      this.#conversation = current;
      const draft = this.#drafts.get(draftName(current)) ?? other;
      this.#write(draft.text, draft.pictures);
    }
    const focused = document.activeElement;
    find("#send").hidden = Boolean(running);
    find("#stop").hidden = !running;
    if (focused === find("#send") && running) find("#stop").focus();
    if (focused === find("#stop") && !running) this.focus();
  }

  #write(text, pictures) {
    this.#attachments.show(pictures);
    this.#field.value = text;
    fitHeight(this.#field);
  }
}

/** A draft's conversation; all that have not begun yet share one. */
function draftName({ id, messages }) {
  return messages.length ? id : "";
}
