// A conversation: a tree of messages, so that an answer made anew or a message edited leaves what was there.
//
// {id, title, created, changed, leaf, settings, messages}: `leaf` is the last message that is shown, `settings` see
// settings.js, times are milliseconds since 1970.
// A message is {id, parent, role, content, created}: `parent` is the message it follows, null for the first ones.
// A user's message with pictures also has `pictures`, see pictures.js.
// An assistant's message also has `model`, `timings` (llama-server's, or null), and `ending`: "stop", "length",
// "stopped" or "edited" by the user, "cut" by an error, or null while it grows.

const TITLE_LENGTH = 60;

/** A name that nothing else has. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A conversation without messages. */
export function newConversation(settings) {
  const now = Date.now();
  return { id: newId(), title: "", created: now, changed: now, leaf: null, settings, messages: [] };
}

/** Adds a message after another, or as a first one, and shows it as the last. */
export function addMessage(conversation, parent, role, content, more = {}) {
  const message = { id: newId(), parent, role, content, created: Date.now(), ...more };
  conversation.messages.push(message);
  conversation.leaf = message.id;
  conversation.changed = message.created;
  if (!conversation.title) conversation.title = titleOf(content || (more.pictures?.[0].name ?? ""));
  return message;
}

/** Takes away a message that nothing follows; `leaf` is shown as the last instead. */
export function removeMessage(conversation, message, leaf) {
  conversation.messages = conversation.messages.filter((other) => other !== message);
  conversation.leaf = leaf;
}

/** The messages from the first to one, which is the last that is shown if no other is named. */
export function pathOf(conversation, end = conversation.leaf) {
  const byId = new Map(conversation.messages.map((message) => [message.id, message]));
  const path = [];
  for (let id = end; id !== null; id = byId.get(id).parent) path.push(byId.get(id));
  return path.reverse();
}

/** A message and those that stand in its place in other versions, oldest first. */
export function versionsOf(conversation, message) {
  return conversation.messages.filter((other) => other.parent === message.parent);
}

/** The ids of a conversation's pictures, in all versions. */
export function pictureIdsOf(conversation) {
  return conversation.messages.flatMap(({ pictures }) => pictures?.map(({ id }) => id) ?? []);
}

/** Shows the version of the conversation that goes through a message, to the newest that follows it. */
export function select(conversation, message) {
  let last = message;
  for (let next = last; next; next = conversation.messages.findLast((other) => other.parent === last.id)) last = next;
  conversation.leaf = last.id;
}

/** A title for a conversation that begins with this text. */
function titleOf(text) {
  const line = text.trim().split("\n", 1)[0];
  return line.length <= TITLE_LENGTH ? line : `${[...line].slice(0, TITLE_LENGTH - 1).join("").trimEnd()}…`;
}
