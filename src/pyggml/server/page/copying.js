// Copying text, and telling that it was copied.

import { announce } from "./status.js";

const SHOWN_MS = 1500;

/** Copy a text, and let the button that asked for it say so for a moment. */
export async function copyText(text, button) {
  const isCopied = await write(text);
  announce(isCopied ? "Copied." : "The browser did not allow copying.");
  if (!isCopied) return;
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), SHOWN_MS);
}

async function write(text) {
  if (!navigator.clipboard) return writeSelected(text);
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return writeSelected(text);
  }
}

/** The way that is left on pages without https. */
function writeSelected(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "offscreen";
  const focused = document.activeElement;
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return isCopied;
}
