// Conversations as a file: export and import.

import { blobOf, dataUrlOf } from "./data_url.js";
import { TYPES } from "./pictures.js";
import { Problem } from "./problem.js";
import { checkedSettings } from "./settings.js";

const FORMAT = "pyggml conversations";
const VERSION = 1;
const ID = /^[\w-]{1,64}$/;
const ROLES = ["user", "assistant"];
const ENDINGS = ["stop", "length", "stopped", "edited", "cut"];

/** The text of a file with these conversations; a picture's file stands in its `data`, null if the album lacks it. */
export async function exportText(conversations, album) {
  const exported = await Promise.all(conversations.map((conversation) => withFiles(conversation, album)));
  return JSON.stringify({ format: FORMAT, version: VERSION, conversations: exported }, null, 1);
}

/** The conversations in a file's text, their pictures' files put into the album; a Problem names what is wrong. */
export function importText(text, album) {
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
  const files = new Map();
  const conversations = file.conversations.map((value, i) => conversationOf(value, `conversations[${i}]`, files));
  for (const [id, picture] of files) album.add(id, picture);
  return conversations;
}

async function withFiles(conversation, album) {
  const messages = conversation.messages.map(async (message) => {
    if (!message.pictures) return message;
    const pictures = message.pictures.map(async (picture) => {
      const file = await album.get(picture.id);
      return { ...picture, data: file ? await dataUrlOf(file) : null };
    });
    return { ...message, pictures: await Promise.all(pictures) };
  });
  return { ...conversation, messages: await Promise.all(messages) };
}

function check(isRight, place, wanted) {
  if (!isRight) throw new Problem(`The file is damaged: ${place} is not ${wanted}.`);
}

/** A conversation; the files of its pictures are added to `files`. */
function conversationOf(value, place, files) {
  const { id, title, created, changed, leaf, settings, messages } = value ?? {};
  check(typeof id === "string" && ID.test(id), `${place}.id`, "a name of letters, digits, - and _");
  check(typeof title === "string", `${place}.title`, "a text");
  check(isTime(created), `${place}.created`, "a time");
  check(isTime(changed), `${place}.changed`, "a time");
  check(Array.isArray(messages), `${place}.messages`, "a list");
  const known = new Set();
  const checked = messages.map((message, i) => messageOf(message, `${place}.messages[${i}]`, known, files));
  check(leaf === null ? !checked.length : known.has(leaf), `${place}.leaf`, "one of its messages");
  return { id, title, created, changed, leaf, settings: checkedSettings(settings), messages: checked };
}

/** A message; `known` are the ids of those before it. */
function messageOf(value, place, known, files) {
  const { id, parent, role, content, created, pictures } = value ?? {};
  check(isText(id) && !known.has(id), `${place}.id`, "a text that no message before it has");
  check(parent === null || known.has(parent), `${place}.parent`, "a message before it");
  check(ROLES.includes(role), `${place}.role`, ROLES.join(" or "));
  check(typeof content === "string", `${place}.content`, "a text");
  check(isTime(created), `${place}.created`, "a time");
  known.add(id);
  const message = { id, parent, role, content, created };
  if (role === "assistant") return { ...message, ...answerOf(value) };
  if (pictures === undefined) return message;
  check(Array.isArray(pictures) && pictures.length, `${place}.pictures`, "a list with pictures");
  return { ...message, pictures: pictures.map((picture, i) => pictureOf(picture, `${place}.pictures[${i}]`, files)) };
}

function pictureOf(value, place, files) {
  const { id, name, width, height, data } = value ?? {};
  check(typeof id === "string" && ID.test(id), `${place}.id`, "a name of letters, digits, - and _");
  check(isText(name), `${place}.name`, "a text");
  check(Number.isInteger(width) && width > 0, `${place}.width`, "a number of pixels");
  check(Number.isInteger(height) && height > 0, `${place}.height`, "a number of pixels");
  const file = data === null ? null : blobOf(data, TYPES);
  check(data === null || file, `${place}.data`, "a picture in base64");
  if (file) files.set(id, file);
  return { id, name, width, height };
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
