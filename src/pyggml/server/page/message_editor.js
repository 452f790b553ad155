// Editing a message in its place.

import { Attachments } from "./attachments.js";
import { element } from "./dom.js";
import { fitHeight, isSendKey } from "./text_field.js";

/** Opens an editor in a message's element; `opener` has the focus again when it is cancelled. */
export function openEditor(container, message, opener, chat) {
  const field = element("textarea", { "aria-label": "Edited message", rows: 2 });
  const isUser = message.role === "user";
  const list = element("ul", { class: "attachments", "aria-label": "Pictures of the message", hidden: true });
  const buttons = element(
    "div",
    { class: "buttons" },
    element("button", { type: "button", class: "plain", onclick: close }, "Cancel"),
    element("button", { type: "submit", class: "primary" }, isUser ? "Send" : "Keep"),
  );
  const form = element("form", { class: "editor", "aria-label": "Edit the message" }, list, field, buttons);
  const attachments = isUser ? new Attachments({ chat, list, area: form, field }) : null;
  attachments?.show(message.pictures ?? []);
  if (attachments) buttons.prepend(...attachments.chooser());
  field.value = message.content;

  function close() {
    form.remove();
    container.classList.remove("edited");
    opener.focus();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = field.value.trim();
    const pictures = attachments?.pictures ?? [];
    if ((!text && !pictures.length) || chat.running) return;
    close();
    if (isUser) chat.resend(message, text, pictures);
    else chat.rewrite(message, text);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (isUser && isSendKey(event)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  field.addEventListener("input", () => fitHeight(field));
  container.classList.add("edited");
  container.append(form);
  fitHeight(field);
  field.focus();
}
