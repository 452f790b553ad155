// Conversations as a file: export and import.

import { Problem } from "./problem.js";
import { checkedSettings } from "./settings.js";

const FORMAT = "pyggml conversations";
const VERSION = 1;
const ID = /^[\w-]{1,64}$/;
const ROLES = ["user", "assistant"];
const ENDINGS = ["stop", "length", "stopped", "edited", "cut"];

/** The text of a file with these conversations. */
export function exportText(conversations) {
  return JSON.stringify({ format: FORMAT, version: VERSION, conversations }, null, 1);
}

/** The conversations in a file's text; throws a Problem that names what is wrong and where. */
export function importText(text) {
  let file;
  try {
    file = JSON.parse(text);
  } catch (error) {
    throw new Problem(`The file is not JSON: ${error.message}.`);
  }
  if (file?.format !== FORMAT) throw new Problem(`The file has no conversations: its "format" is not "${FORMAT}".`);
  if (file.version !== VERSION) {
    throw new Problem(`The file has version ${file.version}; this page reads version ${VERSION}.`);
  }
  check(Array.isArray(file.conversations), "conversations", "a list");
  return file.conversations.map((value, i) => conversationOf(value, `conversations[${i}]`));
}

function check(isRight, place, wanted) {
  if (!isRight) throw new Problem(`The file is damaged: ${place} is not ${wanted}.`);
}

function conversationOf(value, place) {
  const { id, title, created, changed, leaf, settings, messages } = value ?? {};
  check(typeof id === "string" && ID.test(id), `${place}.id`, "a name of letters, digits, - and _");
  check(typeof title === "string", `${place}.title`, "a text");
  check(isTime(created), `${place}.created`, "a time");
  check(isTime(changed), `${place}.changed`, "a time");
  check(Array.isArray(messages), `${place}.messages`, "a list");
  const known = new Set();
  const checked = messages.map((message, i) => messageOf(message, `${place}.messages[${i}]`, known));
  check(leaf === null ? !checked.length : known.has(leaf), `${place}.leaf`, "one of its messages");
  return { id, title, created, changed, leaf, settings: checkedSettings(settings), messages: checked };
}

/** A message; `known` are the ids of those before it. */
function messageOf(value, place, known) {
  const { id, parent, role, content, created } = value ?? {};
  check(isText(id) && !known.has(id), `${place}.id`, "a text that no message before it has");
  check(parent === null || known.has(parent), `${place}.parent`, "a message before it");
  check(ROLES.includes(role), `${place}.role`, ROLES.join(" or "));
  check(typeof content === "string", `${place}.content`, "a text");
  check(isTime(created), `${place}.created`, "a time");
  known.add(id);
  const message = { id, parent, role, content, created };
  return role === "assistant" ? { ...message, ...answerOf(value) } : message;
}

function answerOf({ model, timings, ending }) {
  const numbers = Object.entries(timings ?? {}).filter(([, number]) => Number.isFinite(number));
  return {
    model: typeof model === "string" ? model : "",
    timings: timings ? Object.fromEntries(numbers) : null,
    ending: ENDINGS.includes(ending) ? ending : "cut",
  };
}

function isText(value) {
  return typeof value === "string" && value !== "";
}

function isTime(value) {
  return Number.isFinite(value) && value >= 0;
}
