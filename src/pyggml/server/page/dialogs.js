// Dialogs: the browser's own, which hold the focus and close with Esc.

import { find } from "./dom.js";

/** Shows a dialog with a form; whether it was submitted rather than cancelled. */
export function openDialog(dialog) {
  const form = dialog.querySelector("form");
  return new Promise((resolve) => {
    const submit = (event) => {
      event.preventDefault();
      dialog.close("submitted");
    };
    const close = () => {
      form.removeEventListener("submit", submit);
      resolve(dialog.returnValue === "submitted");
    };
    form.addEventListener("submit", submit);
    dialog.addEventListener("close", close, { once: true });
    dialog.returnValue = "";
    dialog.querySelector("[data-close]").onclick = () => dialog.close("");
    dialog.showModal();
  });
}

/** Asks whether to do something; `action` is what its button says. */
export function confirm(title, text, action) {
  find("#confirm-title").textContent = title;
  find("#confirm-text").textContent = text;
  find("#confirm-yes").textContent = action;
  return openDialog(find("#confirm-dialog"));
}
