// One message on the page.

import { copyText } from "./copying.js";
import { element } from "./dom.js";
import { icon } from "./icons.js";
import { LiveMarkdown } from "./markdown/live.js";
import { openEditor } from "./message_editor.js";
import { pictureList } from "./picture_view.js";

const ENDINGS = {
  length: "The answer has reached its longest length.",
  stopped: "Stopped.",
  edited: "Edited by you.",
  cut: "The answer was cut off.",
};

/** Shows a message; `chat` is told what the user does with it. */
export class MessageView {
  #chat;
  #message;
  #isRunning = false;
  #text = element("div", { class: "text" });
  #note = element("p", { class: "note" });
  #goOn = toolButton("on", "Go on", () => this.#chat.goOn(this.#message));
  #versions = element("span", { class: "versions" });
  #tools = element("div", { class: "tools" });
  #markdown = new LiveMarkdown(this.#text);

  constructor(message, chat) {
    this.#chat = chat;
    this.#message = message;
    const name = message.role === "user" ? "You" : message.model || "Answer";
    this.element = element(
      "article",
      { class: `message ${message.role}`, "aria-label": name, tabindex: -1 },
      element("h2", { class: "author" }, name),
      pictureList(message.pictures, chat.album),
      this.#text,
      element("footer", { "aria-live": "off" }, this.#note, this.#versions, this.#tools),
    );
    this.#tools.append(...this.#buttons());
  }

  /** Show the message as it is now; `versions` are those that could stand in its place. */
  update(isRunning, isLast, versions) {
    this.element.setAttribute("aria-busy", isRunning);
    this.#isRunning = isRunning;
    this.grow();
    this.#tools.hidden = isRunning;
    this.#goOn.hidden = !isLast || this.#message.ending === "stop";
    this.#showVersions(versions, isRunning);
  }

  /** Show what was added to the text. */
  grow() {
    const { role, content } = this.#message;
    // A user's words are shown as they were typed.
    if (role === "user") this.#text.textContent = content;
    else this.#markdown.show(content);
    this.#note.textContent = noteOf(this.#message, this.#isRunning);
  }

  #buttons() {
    const copy = toolButton("copy", "Copy", () => copyText(this.#message.content, copy));
    const edit = toolButton("edit", "Edit", () => openEditor(this.element, this.#message, edit, this.#chat));
    const again = toolButton("again", "Answer again", () => this.#chat.regenerate(this.#message));
    for (const button of [edit, again, this.#goOn]) button.classList.add("change");
    return this.#message.role === "user" ? [copy, edit] : [copy, edit, again, this.#goOn];
  }

  #showVersions(versions, isRunning) {
    const place = versions.indexOf(this.#message);
    const step = (name, label, to) => {
      const button = toolButton(name, label, () => this.#chat.show(versions[to]));
      button.disabled = isRunning || !versions[to];
      return button;
    };
    const about = { role: "img", "aria-label": `version ${place + 1} of ${versions.length}` };
    const parts = [
      step("left", "Version before", place - 1),
      element("span", about, `${place + 1} / ${versions.length}`),
      step("right", "Version after", place + 1),
    ];
    this.#versions.replaceChildren(...(versions.length > 1 ? parts : []));
  }
}

function toolButton(name, label, act) {
  const about = { type: "button", class: "icon", "aria-label": label, title: label };
  return element("button", { ...about, onclick: act }, icon(name));
}

/** How an answer ended, how long it is and how fast it came. */
function noteOf({ role, timings, ending }, isRunning) {
  if (role === "user") return "";
  const parts = [];
  if (!isRunning) parts.push(ENDINGS[ending ?? "cut"]);
  if (timings) {
    const { predicted_n: n, predicted_per_second: speed } = timings;
    parts.push(`${n} ${n === 1 ? "token" : "tokens"}${speed ? `, ${speed.toFixed(1)} tokens/s` : ""}`);
  }
  return parts.filter(Boolean).join(" ");
}
