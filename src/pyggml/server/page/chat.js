// What one can do with conversations: the page's state and all changes of it. The views show it and call it.

import { Album } from "./album.js";
import { addMessage, newConversation, pathOf, pictureIdsOf, removeMessage, select } from "./conversation.js";
import { Problem, describe } from "./problem.js";
import { chatRequest } from "./request.js";
import { lastSettings, rememberSettings } from "./settings.js";

/** While an answer grows, it is kept once in so many milliseconds, so that a reload loses little. */
const KEEP_MS = 1000;

/** All conversations, the one that is open, and the answers that are being written. */
export class Chat extends EventTarget {
  // Events: "list" (titles or their order changed), "conversation" (the open one did), "answer" (a text grew),
  // "end" (of an answer), "unkept" (the browser did not keep something).
  conversations = [];
  current = newConversation(lastSettings());
  modelName = "";
  seesPictures = false;
  album;
  #server;
  #store;
  #answers = new Map();
  #problems = new Map();

  constructor(server, store, conversations) {
    super();
    this.#server = server;
    this.#store = store;
    this.album = new Album(store);
    this.conversations = conversations;
  }

  /** The answer that is being written in the open conversation: {message, abort}; undefined if there is none. */
  get running() {
    return this.#answers.get(this.current.id);
  }

  /** Why the open conversation has no answer, {text, again}; undefined if nothing went wrong. */
  get problem() {
    return this.#problems.get(this.current.id);
  }

  /** Open the conversation of an id; a new one if there is none. */
  open(id) {
    const found = this.conversations.find((conversation) => conversation.id === id);
    this.current = found ?? newConversation(lastSettings());
    this.#tell("conversation");
    this.#tell("list");
  }

  /** Send a message in the open conversation, after the last one; the files of its pictures are in the album. */
  async send(text, pictures) {
    await this.#ask(this.current, this.current.leaf, text, pictures);
  }

  /** Send a user's message again, changed; what followed it stays as another version. */
  async resend(message, text, pictures) {
    await this.#ask(this.current, message.parent, text, pictures);
  }

  /** Put a text of the user's in an answer's place; the answer stays as another version. */
  async rewrite(message, text) {
    const { model } = message;
    addMessage(this.current, message.parent, "assistant", text, { model, timings: null, ending: "edited" });
    await this.#changed(this.current);
  }

  /** Answer once more to what a message follows. */
  async regenerate(message) {
    await this.#answer(this.current, message.parent);
  }

  /** Answer to the message that has no answer: after a problem, or after the page was left. */
  async answer() {
    if (this.problem) await this.problem.again();
    else await this.#answer(this.current, this.current.leaf);
  }

  /** Write on at an answer that is the last message. */
  async goOn(message) {
    if (this.running) return;
    const path = pathOf(this.current);
    await this.#write(this.current, message, { path, before: message.parent, again: () => this.goOn(message) });
  }

  /** End the answer that is being written; what is there stays. */
  stop() {
    this.running?.abort.abort();
  }

  /** Show another version of a message. */
  async show(message) {
    select(this.current, message);
    await this.#changed(this.current);
  }

  /** Change a conversation's title. */
  async rename(conversation, title) {
    conversation.title = title;
    await this.#changed(conversation);
  }

  /** Forget a conversation, and open a new one if it was open. */
  async remove(conversation) {
    this.#answers.get(conversation.id)?.abort.abort();
    this.conversations = this.conversations.filter((other) => other !== conversation);
    await this.#store.remove(conversation.id);
    await this.album.remove(pictureIdsOf(conversation));
    if (conversation === this.current) this.open(null);
    else this.#tell("list");
  }

  /** Use these settings from the next answer on, here and in new conversations. */
  async configure(settings) {
    this.current.settings = settings;
    rememberSettings(settings);
    if (this.current.messages.length) await this.#changed(this.current);
  }

  /** Add conversations from a file, in place of those with the same id; how many there were. */
  async add(conversations) {
    if (this.#answers.size) throw new Problem("An answer is being written. Wait for its end, or stop it.");
    for (const conversation of conversations) {
      this.#take(conversation);
      await this.#store.put(conversation);
      await this.#keepPictures(pictureIdsOf(conversation));
    }
    this.open(conversations[0]?.id ?? this.current.id);
    return conversations.length;
  }

  /** Take over what another tab did to a conversation. */
  async reload(id) {
    if (this.#answers.has(id)) return;
    const conversation = await this.#store.get(id);
    if (conversation) this.#take(conversation);
    else this.conversations = this.conversations.filter((other) => other.id !== id);
    if (id === this.current.id) this.open(id);
    else this.#tell("list");
  }

  /** Has a conversation as it is here, in place of what is known of it. */
  #take(conversation) {
    const known = this.conversations.find((other) => other.id === conversation.id);
    if (known) Object.assign(known, conversation);
    else this.conversations.push(conversation);
  }

  async #ask(conversation, parent, text, pictures) {
    const { id } = addMessage(conversation, parent, "user", text, pictures.length ? { pictures } : {});
    if (!this.conversations.includes(conversation)) this.conversations.push(conversation);
    this.#keep(conversation).then(() => this.#keepPictures(pictures.map((picture) => picture.id)));
    await this.#answer(conversation, id);
  }

  /** Have the server write what follows the message `parent`. */
  async #answer(conversation, parent) {
    if (this.#answers.has(conversation.id)) return;
    const before = conversation.leaf;
    const path = pathOf(conversation, parent);
    const about = { model: this.modelName, timings: null, ending: null };
    const message = addMessage(conversation, parent, "assistant", "", about);
    await this.#write(conversation, message, { path, before, again: () => this.#answer(conversation, parent) });
  }

  /**
   * Have the server write what comes after the messages of a path, into `message`. If nothing comes, the message is
   * taken away, and `before` is the last one again; `again` does all this once more.
   */
  async #write(conversation, message, { path, before, again }) {
    const answer = { message, abort: new AbortController(), timer: null };
    this.#answers.set(conversation.id, answer);
    this.#problems.delete(conversation.id);
    this.#tell("conversation");
    this.#tell("list");
    try {
      const request = await chatRequest(path, conversation.settings, this.album);
      await this.#grow(conversation, message, request, answer.abort.signal);
    } catch (error) {
      const isStopped = answer.abort.signal.aborted;
      message.ending = isStopped ? "stopped" : "cut";
      if (!isStopped) this.#problems.set(conversation.id, { text: describe(error), again });
    }
    clearTimeout(answer.timer);
    this.#answers.delete(conversation.id);
    if (!message.content) removeMessage(conversation, message, before);
    await this.#changed(conversation);
    this.#tell("end", { conversation, message, problem: this.#problems.get(conversation.id) });
  }

  async #grow(conversation, message, request, signal) {
    const n_before = message.timings?.predicted_n ?? 0;
    for await (const { text, ending, timings } of this.#server.chat(request, signal)) {
      message.content += text;
      if (timings) message.timings = { ...timings, predicted_n: n_before + timings.predicted_n };
      message.ending = ending ?? message.ending;
      if (conversation === this.current) this.#tell("answer", { message });
      if (text) this.#keepSoon(conversation);
    }
  }

  /** Keeps a conversation whose answer grows, a moment from now. */
  #keepSoon(conversation) {
    const answer = this.#answers.get(conversation.id);
    answer.timer ??= setTimeout(() => {
      answer.timer = null;
      this.#keep(conversation);
    }, KEEP_MS);
  }

  async #changed(conversation) {
    if (!this.conversations.includes(conversation)) return;
    if (conversation === this.current) this.#tell("conversation");
    this.#tell("list");
    await this.#keep(conversation);
  }

  async #keep(conversation) {
    try {
      await this.#store.put(conversation);
    } catch (error) {
      this.#tell("unkept", { what: "the conversation", error });
    }
  }

  async #keepPictures(ids) {
    try {
      for (const id of ids) await this.album.keep(id);
    } catch (error) {
      this.#tell("unkept", { what: "the pictures", error });
    }
  }

  #tell(what, detail = {}) {
    this.dispatchEvent(new CustomEvent(what, { detail }));
  }
}
