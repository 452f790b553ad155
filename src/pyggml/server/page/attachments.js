// Pictures that will go with a message while it is written: a list with buttons that remove them.

import { element } from "./dom.js";
import { icon } from "./icons.js";
import { notify } from "./notice.js";
import { TYPES, pictureOf, showFile } from "./pictures.js";
import { describe } from "./problem.js";
import { announce } from "./status.js";

/** Shows pictures in `list`, and takes those that are pasted into `area` or dropped on it; `field` is the text's. */
export class Attachments {
  /** {picture, file} of each; the file is undefined where the browser did not keep it. */
  given = [];
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
      await this.take([...input.files]);
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

  /** Show these in place of those that are there. */
  show(given) {
    this.given = given;
    this.#list.hidden = !given.length;
    this.#list.replaceChildren(...given.map((each) => this.#item(each)));
  }

  /** Add the pictures among files, and say why the others are not taken. */
  async take(files) {
    const added = [];
    const problems = [];
    for (const file of files) {
      try {
        added.push(await pictureOf(file));
      } catch (error) {
        problems.push(describe(error));
      }
    }
    notify(problems.join(" "));
    if (!added.length) return;
    this.show([...this.given, ...added]);
    announce(`Attached: ${added.map(({ picture }) => picture.name).join(", ")}.`);
    this.#field.focus();
  }

  #takeFrom(event, data) {
    if (!hasFiles(data)) return;
    event.preventDefault();
    event.stopPropagation();
    if (this.#chat.seesPictures) this.take([...data.files]);
    else notify("The model that this server has does not see pictures.");
  }

  #item(each) {
    const { id, name } = each.picture;
    const image = element("img", { alt: name });
    const remove = { type: "button", class: "icon", "aria-label": `Remove “${name}”`, title: "Remove" };
    const item = element(
      "li",
      { "data-id": id },
      image,
      element("button", { ...remove, onclick: () => this.#remove(each) }, icon("close")),
    );
    if (each.file) showFile(image, each.file);
    return item;
  }

  #remove(each) {
    const place = this.given.indexOf(each);
    this.show(this.given.filter((other) => other !== each));
    announce(`Removed: ${each.picture.name}.`);
    (this.#list.querySelectorAll("button")[Math.min(place, this.given.length - 1)] ?? this.#field).focus();
  }
}

function hasFiles(data) {
  return data.types.includes("Files");
}
