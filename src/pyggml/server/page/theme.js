// Dark and light: as the system has it, until the user wants the other.

const NAME = "pyggml.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** Whether the page is dark now. */
export function isDark() {
  return (chosen() ?? (system.matches ? "dark" : "light")) === "dark";
}

/** Change to the other; back at what the system has, the page follows the system again. */
export function switchTheme() {
  const wanted = isDark() ? "light" : "dark";
  const followsSystem = (wanted === "dark") === system.matches;
  try {
    if (followsSystem) localStorage.removeItem(NAME);
    else localStorage.setItem(NAME, wanted);
  } catch {
    // Then the choice lasts until the page is left.
  }
  show(followsSystem ? null : wanted);
}

/** Call a function now and whenever the appearance changes, with whether it is dark. */
export function onTheme(tell) {
  const tellNow = () => tell(isDark());
  system.addEventListener("change", tellNow);
  new MutationObserver(tellNow).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  tellNow();
}

function chosen() {
  return document.documentElement.dataset.theme ?? null;
}

function show(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

function remembered() {
  try {
    return localStorage.getItem(NAME);
  } catch {
    return null;
  }
}

show(remembered());
