// Where conversations are kept: in the browser's IndexedDB, or in memory where the browser keeps nothing.

const NAME = "pyggml";
const TABLE = "conversations";

/** Opens the store; `onchange(id)` is called when another tab has changed a conversation. */
export async function openStore(onchange) {
  try {
    const opening = indexedDB.open(NAME, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(TABLE, { keyPath: "id" });
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
    return finished(this.#table("readonly").getAll());
  }

  /** One conversation; undefined if there is none of this id. */
  get(id) {
    return finished(this.#table("readonly").get(id));
  }

  /** Keeps a conversation as it is now. */
  async put(conversation) {
    await finished(this.#table("readwrite").put(conversation));
    this.#channel.postMessage(conversation.id);
  }

  /** Forgets a conversation. */
  async remove(id) {
    await finished(this.#table("readwrite").delete(id));
    this.#channel.postMessage(id);
  }

  #table(mode) {
    return this.#database.transaction(TABLE, mode).objectStore(TABLE);
  }
}

/** The same for as long as the page is open. */
class MemoryStore {
  isLasting = false;
  #conversations = new Map();

  async all() {
    return [...this.#conversations.values()];
  }

  async get(id) {
    return this.#conversations.get(id);
  }

  async put(conversation) {
    this.#conversations.set(conversation.id, conversation);
  }

  async remove(id) {
    this.#conversations.delete(id);
  }
}

function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("another tab holds the store"));
  });
}
