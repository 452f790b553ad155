// Making elements. Text only ever becomes text nodes, so nothing here can turn it into markup.

/**
 * An element.
 *
 * @param {string} name its tag
 * @param {Object} properties attributes; `class`, `aria-label` and the like as in HTML; true for one without a value;
 *   false, null and undefined leave it out; functions under `onclick` and the like become listeners
 * @param {...(Node|string|null)} children
 */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

/** The one element of the page that a CSS selector finds. */
export function find(selector) {
  const found = document.querySelector(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return found;
}
