// A conversation -> the body of POST v1/chat/completions.

import { requestFields } from "./settings.js";

/** The body that asks for what follows the messages of a path. */
export function chatRequest(path, settings) {
  const system = settings.system ? [{ role: "system", content: settings.system }] : [];
  return {
    messages: [...system, ...path.map(({ role, content }) => ({ role, content: contentOf(content) }))],
    stream: true,
    timings_per_token: true,
    ...requestFields(settings),
  };
}

/** A message's content as the API has it. A message with pictures will be a list of parts. */
function contentOf(text) {
  return text;
}
