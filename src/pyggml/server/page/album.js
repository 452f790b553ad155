// The files of the pictures in all conversations. They are kept apart from the messages, so that a text is kept also
// where there is no room for a picture, and is written anew without them while an answer grows.

import { Problem } from "./problem.js";

/** Files by the ids of their pictures: those of this visit, and those in the store. */
export class Album {
  #store;
  #files = new Map();

  constructor(store) {
    this.#store = store;
  }

  /** Has a picture's file for as long as the page is open, and keeps it; throws what the store throws. */
  async add(id, file) {
    this.#files.set(id, file);
    await this.#store.putPicture(id, file);
  }

  /** A picture's file; undefined if the browser did not keep it. */
  async get(id) {
    return this.#files.get(id) ?? (await this.#store.picture(id));
  }

  /** A picture's file, which is needed; throws a Problem if there is none. */
  async need({ id, name }) {
    const file = await this.get(id);
    if (file) return file;
    throw new Problem(`This browser no longer has the picture “${name}”. Edit the message: remove it, or attach it anew.`);
  }

  /** Forgets these pictures' files. */
  async remove(ids) {
    for (const id of ids) this.#files.delete(id);
    await this.#store.removePictures(ids);
  }
}
