// A block of code with its language and a button that copies it.

import { copyText } from "../copying.js";
import { element } from "../dom.js";

/** A figure with the code. */
export function codeBlock(language, text) {
  const label = element("span", { class: "language" }, language || "code");
  const button = element("button", { type: "button", class: "quiet", "aria-label": "Copy code" }, "Copy");
  button.addEventListener("click", () => copyText(text, button));
  return element(
    "figure",
    { class: "code" },
    element("figcaption", {}, label, button),
    element("pre", { tabindex: 0, "aria-label": language ? `code in ${language}` : "code" }, element("code", {}, text)),
  );
}
