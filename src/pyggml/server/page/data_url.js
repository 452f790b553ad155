// Files as text: data URLs in base64.

/** The data URL of a Blob. */
export function dataUrlOf(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** The Blob of a data URL of one of these types; null if it is none. */
export function blobOf(url, types) {
  const [head, data] = typeof url === "string" ? url.split(",", 2) : [];
  const type = types.find((each) => head === `data:${each};base64`);
  if (!type) return null;
  try {
    const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    return new Blob([bytes], { type });
  } catch {
    return null;
  }
}
