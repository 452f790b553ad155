// The settings of a conversation: an object with the fields below that the user has filled in. The server has its own
// values for the others.

/** The fields: the name in the API, the one here, what it is for, and what numbers are allowed. */
export const FIELDS = [
  { name: "system", label: "System prompt", help: "Told to the model before the first message.", kind: "text" },
  number("temperature", "Temperature", "Higher is more varied; 0 always takes the likeliest.", 0, 5),
  integer("top_k", "Top k", "Choose among so many of the likeliest; 0: all.", 0, 1000000),
  number("top_p", "Top p", "Choose among the likeliest that make up this share; 1: all.", 0, 1),
  number("min_p", "Min p", "Leave out what is less likely than this share of the likeliest.", 0, 1),
  integer("max_tokens", "Longest answer", "In tokens.", 1, 10000000),
  integer("seed", "Seed", "With the same seed, the same answer.", 0, 4294967294),
];

function number(name, label, help, min, max) {
  return { name, label, help, kind: "number", min, max };
}

function integer(name, label, help, min, max) {
  return { name, label, help, kind: "integer", min, max };
}

const KEY = "pyggml.settings";

/** The settings that a new conversation begins with: those that were kept last. */
export function lastSettings() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY));
    return checkedSettings(kept ?? {});
  } catch {
    return {};
  }
}

/** Let new conversations begin with these settings. */
export function rememberSettings(settings) {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // A browser that keeps nothing is told of where conversations are opened.
  }
}

/** What is a setting in an object from elsewhere. */
export function checkedSettings(value) {
  const settings = {};
  for (const { name, kind, min, max } of FIELDS) {
    const given = value?.[name];
    const isText = kind === "text" && typeof given === "string" && given !== "";
    const isNumber = kind !== "text" && typeof given === "number" && given >= min && given <= max;
    if (isText || (isNumber && (kind === "number" || Number.isInteger(given)))) settings[name] = given;
  }
  return settings;
}

/** The fields of a request. */
export function requestFields({ system, ...sampling }) {
  return sampling;
}
