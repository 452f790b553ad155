// The list of conversations.

import { confirm } from "./dialogs.js";
import { element, find } from "./dom.js";
import { icon } from "./icons.js";

const NARROW = matchMedia("(max-width: 52rem)");

/** Shows the conversations of `chat`, those that changed last first. */
export class Sidebar {
  #chat;
  #list = find("#conversations");
  #opener = find("#open-sidebar");

  constructor(chat) {
    this.#chat = chat;
    chat.addEventListener("list", () => this.#show());
    find("#new-conversation").addEventListener("click", () => this.#leaveTo(null));
    this.#opener.addEventListener("click", () => this.#setOpen(true));
    find("#close-sidebar").addEventListener("click", () => this.#setOpen(false));
    find("#sidebar").addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#isOpen()) this.#setOpen(false);
    });
    document.addEventListener("pointerdown", ({ target }) => {
      if (!find("#sidebar").contains(target)) this.#setOpen(false);
    });
    // A window that has become wide shows both.
    NARROW.addEventListener("change", () => this.#setOpen(false));
  }

  #show() {
    const newest = this.#chat.conversations.toSorted((a, b) => b.changed - a.changed);
    const focused = this.#list.contains(document.activeElement) && document.activeElement.closest("li").dataset.id;
    this.#list.replaceChildren(...newest.map((conversation) => this.#item(conversation)));
    if (focused) this.#focus(focused);
  }

  #item(conversation) {
    const { id, title } = conversation;
    const isCurrent = conversation === this.#chat.current;
    const link = element("a", { href: `#${id}`, "aria-current": isCurrent ? "true" : null, title }, title);
    link.addEventListener("click", () => this.#setOpen(false));
    const tool = (name, label, act) => {
      const about = { type: "button", class: "icon", "aria-label": `${label} “${title}”`, title: label };
      return element("button", { ...about, onclick: act }, icon(name));
    };
    const item = element(
      "li",
      { "data-id": id },
      link,
      tool("edit", "Rename", () => this.#rename(conversation, item)),
      tool("trash", "Delete", () => this.#remove(conversation)),
    );
    return item;
  }

  #rename(conversation, item) {
    const field = element("input", { type: "text", "aria-label": "Title", maxlength: 200, value: conversation.title });
    let isOver = false;
    const end = async (title) => {
      if (isOver) return;
      isOver = true;
      await this.#chat.rename(conversation, title.trim() || conversation.title);
    };
    field.addEventListener("keydown", async (event) => {
      const isKept = event.key === "Enter" && !event.isComposing;
      if (!isKept && event.key !== "Escape") return;
      event.stopPropagation();
      await end(isKept ? field.value : conversation.title);
      this.#focus(conversation.id);
    });
    field.addEventListener("blur", () => end(field.value));
    item.replaceChildren(field);
    field.focus();
    field.select();
  }

  async #remove(conversation) {
    const text = `“${conversation.title}” and its messages are taken out of this browser for good.`;
    if (!(await confirm("Delete this conversation?", text, "Delete"))) return;
    await this.#chat.remove(conversation);
    find("#new-conversation").focus();
  }

  #focus(id) {
    this.#list.querySelector(`[data-id="${CSS.escape(id)}"] a`)?.focus();
  }

  #leaveTo(id) {
    this.#chat.open(id);
    this.#setOpen(false);
    find("#message").focus();
  }

  #isOpen() {
    return this.#opener.getAttribute("aria-expanded") === "true";
  }

  /** On a narrow screen the list lies over the conversation. */
  #setOpen(isOpen) {
    if (this.#isOpen() === isOpen) return;
    this.#opener.setAttribute("aria-expanded", isOpen);
    document.body.classList.toggle("sidebar-open", isOpen);
    find("main").inert = isOpen;
    if (isOpen) find("#close-sidebar").focus();
    else this.#opener.focus();
  }
}
