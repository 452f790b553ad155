// Where conversations and the files of their pictures are kept: in the browser's IndexedDB, or in memory where the
// browser keeps nothing.

const NAME = "pyggml";
const VERSION = 2;
const CONVERSATIONS = "conversations";
/** Blobs by the ids of their pictures; since version 2. */
const PICTURES = "pictures";

/** Opens the store; `onchange(id)` is called when another tab has changed a conversation. */
export async function openStore(onchange) {
  try {
    const opening = indexedDB.open(NAME, VERSION);
    opening.onupgradeneeded = ({ oldVersion }) => {
      if (oldVersion < 1) opening.result.createObjectStore(CONVERSATIONS, { keyPath: "id" });
      opening.result.createObjectStore(PICTURES);
    };
    return new BrowserStore(await finished(opening), onchange);
  } catch {
    return new MemoryStore();
  }
}

class BrowserStore {
  /** Whether conversations are there after a reload. */
  isLasting = true;
  #database;
  #channel = new BroadcastChannel(NAME);

  constructor(database, onchange) {
    this.#database = database;
    this.#channel.onmessage = ({ data }) => onchange(data);
  }

  /** All conversations. */
  all() {
    return finished(this.#read(CONVERSATIONS).getAll());
  }

  /** One conversation; undefined if there is none of this id. */
  get(id) {
    return finished(this.#read(CONVERSATIONS).get(id));
  }

  /** A picture's file; undefined if there is none of this id. */
  picture(id) {
    return finished(this.#read(PICTURES).get(id));
  }

  /** Keeps a conversation as it is now. */
  async put(conversation) {
    await this.#change(CONVERSATIONS, (table) => table.put(conversation));
    this.#channel.postMessage(conversation.id);
  }

  /** Keeps a picture's file. */
  async putPicture(id, file) {
    await this.#change(PICTURES, (table) => table.put(file, id));
  }

  /** Forgets a conversation. */
  async remove(id) {
    await this.#change(CONVERSATIONS, (table) => table.delete(id));
    this.#channel.postMessage(id);
  }

  /** Forgets the files of pictures. */
  async removePictures(ids) {
    await this.#change(PICTURES, (table) => ids.forEach((id) => table.delete(id)));
  }

  #read(name) {
    return this.#database.transaction(name, "readonly").objectStore(name);
  }

  /** Whether there is room for a change is known only when its transaction ends. */
  #change(name, act) {
    return new Promise((resolve, reject) => {
      const transaction = this.#database.transaction(name, "readwrite");
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
      act(transaction.objectStore(name));
    });
  }
}

/** The same for as long as the page is open. */
class MemoryStore {
  isLasting = false;
  #conversations = new Map();
  #pictures = new Map();

  async all() {
    return [...this.#conversations.values()];
  }

  async get(id) {
    return this.#conversations.get(id);
  }

  async picture(id) {
    return this.#pictures.get(id);
  }

  async put(conversation) {
    this.#conversations.set(conversation.id, conversation);
  }

  async putPicture(id, file) {
    this.#pictures.set(id, file);
  }

  async remove(id) {
    this.#conversations.delete(id);
  }

  async removePictures(ids) {
    for (const id of ids) this.#pictures.delete(id);
  }
}

function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("another tab holds the store"));
  });
}
