// Pictures that will go with a message while it is written: a list with buttons that remove them.

import { element } from "./dom.js";
import { icon } from "./icons.js";
import { notify } from "./notice.js";
import { pictureItem } from "./picture_view.js";
import { TYPES, pictureOf } from "./pictures.js";
import { describe } from "./problem.js";
import { announce } from "./status.js";

/** Shows pictures in `list`, and takes those that are pasted into `area` or dropped on it; `field` is the text's. */
export class Attachments {
  /** As messages have them; their files are in the album of the chat. */
  pictures = [];
  #chat;
  #list;
  #field;

  constructor({ chat, list, area, field }) {
    this.#chat = chat;
    this.#list = list;
    this.#field = field;
    area.addEventListener("paste", (event) => {
      // Text is pasted as text, also where a program gives a picture of it beside.
      if (event.clipboardData.types.includes("text/plain")) return;
      this.#takeFrom(event, event.clipboardData);
    });
    area.addEventListener("dragover", (event) => hasFiles(event.dataTransfer) && event.preventDefault());
    area.addEventListener("drop", (event) => this.#takeFrom(event, event.dataTransfer));
  }

  /** A button that lets the user choose files, and the field that it opens. */
  chooser() {
    const about = { type: "file", accept: TYPES.join(","), multiple: true, hidden: true };
    const input = element("input", { ...about, "aria-label": "Pictures to attach" });
    input.addEventListener("change", async () => {
      await this.#take([...input.files]);
      // So that the same file can be chosen again.
      input.value = "";
    });
    const label = { "aria-label": "Attach pictures", title: "Attach pictures" };
    const button = element(
      "button",
      { type: "button", class: "icon attach", ...label, onclick: () => input.click() },
      icon("picture"),
    );
    return [button, input];
  }

  /** Show these pictures in place of those that are there. */
  show(pictures) {
    this.pictures = pictures;
    this.#list.hidden = !pictures.length;
    this.#list.replaceChildren(...pictures.map((picture) => this.#item(picture)));
  }

  /** Add the pictures among files, and say why the others are not taken. */
  async #take(files) {
    const added = [];
    const problems = [];
    for (const given of files) {
      try {
        const { picture, file } = await pictureOf(given);
        this.#chat.album.add(picture.id, file);
        added.push(picture);
      } catch (error) {
        problems.push(describe(error));
      }
    }
    notify(problems.join(" "));
    if (!added.length) return;
    this.show([...this.pictures, ...added]);
    announce(`Attached: ${added.map(({ name }) => name).join(", ")}.`);
    this.#field.focus();
  }

  #takeFrom(event, data) {
    if (!hasFiles(data)) return;
    event.preventDefault();
    event.stopPropagation();
    if (this.#chat.seesPictures) this.#take([...data.files]);
    else notify("The model that this server has does not see pictures.");
  }

  #item(picture) {
    const label = { "aria-label": `Remove “${picture.name}”`, title: "Remove" };
    const about = { type: "button", class: "icon", ...label, onclick: () => this.#remove(picture) };
    return pictureItem(picture, this.#chat.album, element("button", about, icon("close")));
  }

  #remove(picture) {
    const place = this.pictures.indexOf(picture);
    this.show(this.pictures.filter((other) => other !== picture));
    announce(`Removed: ${picture.name}.`);
    (this.#list.querySelectorAll("button")[Math.min(place, this.pictures.length - 1)] ?? this.#field).focus();
  }
}

function hasFiles(data) {
  return data.types.includes("Files");
}
