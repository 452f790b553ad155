// Fields for text of many lines.

/** Makes a field as high as its text; the style sheet says how high at most. */
export function fitHeight(field) {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

/** Whether a key sends the text: Enter, unless it begins a line or ends a word that an input method composes. */
export function isSendKey(event) {
  return event.key === "Enter" && !event.shiftKey && !event.isComposing;
}
