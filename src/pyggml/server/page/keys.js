// The API key: asked for when the server wants one, kept for the tab or, if the user likes, in the browser.

import { find } from "./dom.js";
import { openDialog } from "./dialogs.js";

const NAME = "pyggml.key";

/** The key that requests bring. */
export class Keys {
  #key = read();
  #asking = null;

  /** The key, or null. */
  current() {
    return this.#key;
  }

  /** Asks the user, once for all that wait; `refused` is the key that did not do. Whether there is another key now. */
  async ask(refused) {
    if (this.#key !== refused) return true;
    this.#asking ??= askUser(refused).finally(() => (this.#asking = null));
    const given = await this.#asking;
    if (given === null) return false;
    this.#key = given;
    return true;
  }
}

async function askUser(refused) {
  const dialog = find("#key-dialog");
  const field = find("#key");
  find("#key-problem").textContent = refused ? "The server did not accept the key." : "";
  field.value = "";
  const isGiven = await openDialog(dialog);
  if (!isGiven) return null;
  keep(field.value.trim(), find("#key-remember").checked);
  return field.value.trim();
}

function read() {
  try {
    return sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME);
  } catch {
    return null;
  }
}

function keep(key, isLasting) {
  try {
    sessionStorage.setItem(NAME, key);
    if (isLasting) localStorage.setItem(NAME, key);
    else localStorage.removeItem(NAME);
  } catch {
    // Then it is asked for again after a reload.
  }
}
