// Which addresses a link may have.

const PROTOCOLS = new Set(["http:", "https:", "mailto:"]);

/** The address that a link in an answer leads to, or null if it must not be one. Relative ones lead nowhere. */
export function safeAddress(text) {
  try {
    const address = new URL(text);
    return PROTOCOLS.has(address.protocol) ? address.href : null;
  } catch {
    return null;
  }
}
