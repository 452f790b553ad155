// The dialog with the settings of the open conversation.

import { openDialog } from "./dialogs.js";
import { element, find } from "./dom.js";
import { FIELDS } from "./settings.js";

/** The server's own names for what it does if a request does not say. */
const DEFAULT_NAMES = { max_tokens: "n_predict" };
/** llama-server's value for a seed that is drawn anew for each answer. */
const RANDOM_SEED = 4294967295;

/** Lets the user change settings; `defaults` are the server's. Returns the new settings, or null. */
export async function editSettings(settings, defaults) {
  const inputs = new Map(FIELDS.map((field) => [field, inputOf(field, settings[field.name], defaults)]));
  find("#settings-fields").replaceChildren(...[...inputs].map(([field, input]) => rowOf(field, input)));
  find("#settings-clear").onclick = () => {
    for (const input of inputs.values()) input.value = "";
  };
  const isKept = await openDialog(find("#settings-dialog"));
  return isKept ? valuesOf(inputs) : null;
}

function inputOf(field, value, defaults) {
  const { name, kind, min, max } = field;
  const about = { id: `setting-${name}`, "aria-describedby": `setting-${name}-help` };
  const input =
    kind === "text"
      ? element("textarea", { ...about, rows: 3 })
      : element("input", { ...about, type: "number", min, max, step: kind === "integer" ? 1 : "any" });
  if (kind !== "text") input.placeholder = placeholderOf(name, defaults);
  input.value = value ?? "";
  return input;
}

function placeholderOf(name, defaults) {
  const value = defaults[DEFAULT_NAMES[name] ?? name];
  if (value === undefined) return "";
  if (name === "seed" && value === RANDOM_SEED) return "random";
  if (name === "max_tokens" && value < 0) return "no limit";
  // The server's are of single precision: 0.8 comes as 0.800000011920929.
  return String(Number(value.toPrecision(6)));
}

function rowOf({ name, label, kind, help }, input) {
  return element(
    "div",
    { class: kind === "text" ? "field wide" : "field" },
    element("label", { for: input.id }, label),
    input,
    element("p", { class: "help", id: `${input.id}-help` }, help),
  );
}

function valuesOf(inputs) {
  const filled = [...inputs].filter(([, input]) => input.value.trim() !== "");
  return Object.fromEntries(
    filled.map(([{ name, kind }, input]) => [name, kind === "text" ? input.value : input.valueAsNumber]),
  );
}
