// The settings of a conversation: an object with the fields below that the user has filled in. The server has its own
// values for the others.

/** The fields: the name in the API, what they are called here, and what numbers are allowed. */
export const FIELDS = [
  { name: "system", label: "System prompt", kind: "text", help: "Told to the model before the first message." },
  { name: "temperature", label: "Temperature", kind: "number", min: 0, max: 5, help: "Higher is more varied; 0 always takes the likeliest." },
  { name: "top_k", label: "Top k", kind: "integer", min: 0, max: 1000000, help: "Choose among so many of the likeliest; 0: all." },
  { name: "top_p", label: "Top p", kind: "number", min: 0, max: 1, help: "Choose among the likeliest that make up this share; 1: all." },
  { name: "min_p", label: "Min p", kind: "number", min: 0, max: 1, help: "Leave out what is less likely than this share of the likeliest." },
  { name: "max_tokens", label: "Longest answer", kind: "integer", min: 1, max: 10000000, help: "In tokens." },
  { name: "seed", label: "Seed", kind: "integer", min: 0, max: 4294967294, help: "With the same seed, the same answer." },
];

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
