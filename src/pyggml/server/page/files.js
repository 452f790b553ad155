// The buttons that save conversations to a file and read them from one.

import { element, find } from "./dom.js";
import { exportText, importText } from "./exchange.js";
import { notify } from "./notice.js";
import { describe } from "./problem.js";
import { announce } from "./status.js";

/** Some browsers read what they save a little later. */
const SAVING_MS = 10000;

/** Connects the buttons with `chat`. */
export function connectFiles(chat) {
  const file = find("#import-file");
  find("#export").addEventListener("click", async () => save(await exportText(chat.conversations, chat.album)));
  find("#import").addEventListener("click", () => file.click());
  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    try {
      const conversations = importText(await chosen.text(), chat.album);
      notify("");
      const n = await chat.add(conversations);
      announce(`${n} ${n === 1 ? "conversation was" : "conversations were"} imported.`);
    } catch (error) {
      notify(`${chosen.name}: ${describe(error)}`);
    }
    // So that the same file can be chosen again.
    file.value = "";
  });
}

function save(text) {
  const day = new Date().toISOString().slice(0, 10);
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  element("a", { href: address, download: `pyggml-conversations-${day}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(address), SAVING_MS);
}
