// A picture on the page.

import { element } from "./dom.js";
import { showFile } from "./pictures.js";

/** An item of a list that shows a picture from the album, and what else stands beside it. */
export function pictureItem(picture, album, ...beside) {
  const { name, width, height } = picture;
  // With its size, so that nothing moves once it is there.
  const image = element("img", { alt: name, width, height });
  const item = element("li", {}, image, ...beside);
  show();
  return item;

  async function show() {
    const file = await album.get(picture.id);
    if (file && (await showFile(image, file))) return;
    image.replaceWith(element("p", { class: "note" }, `The picture “${name}” is not in this browser.`));
  }
}

/** The list of a message's pictures; null if it has none. */
export function pictureList(pictures, album) {
  if (!pictures?.length) return null;
  const items = pictures.map((picture) => pictureItem(picture, album));
  return element("ul", { class: "pictures", "aria-label": "Pictures" }, ...items);
}
