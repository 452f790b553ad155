// The files of the pictures in all conversations. They are kept apart from the messages, so that a text is kept also
// where there is no room for a picture, and is written anew without them while an answer grows.

import { Problem } from "./problem.js";

/** Files (Blobs) by the ids of their pictures: those of this visit, and those in the store. */
export class Album {
  #store;
  #files = new Map();

  constructor(store) {
    this.#store = store;
  }

  /** Has a picture's file for as long as the page is open. */
  add(id, file) {
    this.#files.set(id, file);
  }

  /** Keeps a picture's file also after that, as far as there is one; throws what the browser does. */
  async keep(id) {
    if (this.#files.has(id)) await this.#store.putPicture(id, this.#files.get(id));
  }

  /** A picture's file; undefined if the browser did not keep it. */
  async get(id) {
    return this.#files.get(id) ?? this.#store.picture(id).catch(() => undefined);
  }

  /** A picture's file, which is needed; throws a Problem if there is none. */
  async need({ id, name }) {
    const file = await this.get(id);
    if (file) return file;
    throw new Problem(`The picture “${name}” is not in this browser. Edit the message: remove it, or attach it again.`);
  }

  /** Forgets the files of pictures. */
  async remove(ids) {
    for (const id of ids) this.#files.delete(id);
    await this.#store.removePictures(ids);
  }
}
