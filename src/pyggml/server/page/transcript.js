// The open conversation: its messages, and why there is no answer.

import { pathOf, versionsOf } from "./conversation.js";
import { find } from "./dom.js";
import { MessageView } from "./message_view.js";

/** How far from the end, in pixels, one is still taken to read the end. */
const NEAR_END = 60;

/** Shows the conversation that is open in `chat`, and follows the end of it while the user reads there. */
export class Transcript {
  #chat;
  #views = new Map();
  #shown = null;
  #scroller = find("#scroller");
  #toEnd = find("#to-end");
  #frame = null;
  #isFollowing = true;

  constructor(chat) {
    this.#chat = chat;
    chat.addEventListener("conversation", () => this.#show());
    chat.addEventListener("answer", ({ detail }) => this.#grow(detail.message));
    this.#scroller.addEventListener("scroll", () => this.#noteScroll(), { passive: true });
    this.#toEnd.addEventListener("click", () => this.#scrollToEnd());
    find("#answer").addEventListener("click", () => chat.answer());
  }

  #show() {
    const { current, running } = this.#chat;
    if (this.#shown !== current) this.#views.clear();
    // Whoever opens a conversation or asks something wants to see its end.
    if (this.#shown !== current || running) this.#isFollowing = true;
    this.#shown = current;
    const path = pathOf(current);
    const viewOf = (message) => this.#views.get(message) ?? new MessageView(message, this.#chat);
    const views = new Map(path.map((message) => [message, viewOf(message)]));
    this.#views = views;
    for (const [message, view] of views) {
      view.update(message === running?.message, message === path.at(-1), versionsOf(current, message));
    }
    this.#place([...views.values()].map((view) => view.element));
    find("#log").classList.toggle("answering", Boolean(running));
    find("#welcome").hidden = path.length > 0;
    find("#title").textContent = current.title || "New conversation";
    document.title = current.title ? `${current.title} · pyggml` : "pyggml";
    this.#showPending(path.at(-1));
    if (this.#isFollowing) this.#scrollToEnd();
  }

  /** Puts the messages into the log; those that are there already are not touched, so that the focus stays. */
  #place(elements) {
    const log = find("#log");
    const wanted = new Set(elements);
    const focused = document.activeElement;
    const place = [...log.children].findIndex((child) => child.contains(focused));
    for (const child of [...log.children]) if (!wanted.has(child)) child.remove();
    elements.forEach((made, i) => {
      if (log.children[i] !== made) log.insertBefore(made, log.children[i] ?? null);
    });
    if (place >= 0 && !focused.isConnected) focusLike(focused, elements[Math.min(place, elements.length - 1)]);
  }

  #showPending(last) {
    const { problem, running } = this.#chat;
    const isUnanswered = !running && (problem || last?.role === "user");
    if (!isUnanswered && document.activeElement === find("#answer")) find("#message").focus();
    find("#pending").hidden = !isUnanswered;
    find("#pending").classList.toggle("problem", Boolean(problem));
    find("#pending-text").textContent = isUnanswered ? (problem?.text ?? "This has no answer.") : "";
    find("#answer").textContent = problem ? "Try again" : "Answer";
  }

  /** Shows what was added, once for all that comes within a frame. */
  #grow(message) {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#views.get(message)?.grow();
      if (this.#isFollowing) this.#scrollToEnd();
    });
  }

  #noteScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#isFollowing = scrollHeight - scrollTop - clientHeight < NEAR_END;
    this.#toEnd.hidden = this.#isFollowing;
  }

  #scrollToEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}

/** Focuses in a message what is called as the element that had the focus in the message it replaces. */
function focusLike(focused, replacement) {
  const same = replacement?.querySelector(`[aria-label="${CSS.escape(focused.ariaLabel ?? "")}"]:not([disabled])`);
  (same && !same.closest("[hidden]") ? same : replacement)?.focus();
}
