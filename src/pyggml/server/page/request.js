// A conversation -> the body of POST v1/chat/completions.

import { dataUrlOf } from "./data_url.js";
import { requestFields } from "./settings.js";

/** The body that asks for what follows the messages of a path; throws a Problem if the album lacks a picture. */
export async function chatRequest(path, settings, album) {
  const system = settings.system ? [{ role: "system", content: settings.system }] : [];
  const said = path.map(async (message) => ({ role: message.role, content: await contentOf(message, album) }));
  return {
    messages: [...system, ...(await Promise.all(said))],
    stream: true,
    timings_per_token: true,
    ...requestFields(settings),
  };
}

/** A message's content as the API has it: its text, or the parts of a message with pictures. */
async function contentOf({ content, pictures }, album) {
  if (!pictures) return content;
  const partOf = async (picture) => {
    return { type: "image_url", image_url: { url: await dataUrlOf(await album.need(picture)) } };
  };
  const text = content ? [{ type: "text", text: content }] : [];
  return [...(await Promise.all(pictures.map(partOf))), ...text];
}
