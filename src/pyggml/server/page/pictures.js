// Pictures that go with messages: which files are taken, and what a message says of them.
//
// A message's picture is {id, name, width, height}; its file, a Blob, is in the album, see album.js.

import { newId } from "./conversation.js";
import { Problem } from "./problem.js";

/** The types that both the server and browsers can read. */
export const TYPES = ["image/png", "image/jpeg", "image/gif", "image/bmp", "image/webp"];
const TYPE_NAMES = "PNG, JPEG, GIF, BMP and WebP";
const MAX_MIB = 10;
/** What the server reads. */
const MAX_PIXELS = 80_000_000;

/** A file that the user gave -> {picture, file}; throws a Problem that says why it is not taken. */
export async function pictureOf(file) {
  const name = file.name || "picture";
  if (!TYPES.includes(file.type)) throw new Problem(`“${name}” is not attached: pictures can be ${TYPE_NAMES}.`);
  if (file.size > MAX_MIB * 2 ** 20) {
    const mib = (file.size / 2 ** 20).toFixed(1);
    throw new Problem(`“${name}” is not attached: it has ${mib} MiB, and a picture may have ${MAX_MIB}.`);
  }
  const { width, height } = await sizeOf(file, name);
  if (width * height > MAX_PIXELS) {
    const most = MAX_PIXELS / 1e6;
    throw new Problem(
      `“${name}” is not attached: it has ${width} × ${height} pixels, and a picture may have ${most} million in all.`,
    );
  }
  return { picture: { id: newId(), name, width, height }, file };
}

/** An element that shows a file, if it is there, where a picture is to be seen. */
export async function showFile(image, file) {
  const address = URL.createObjectURL(file);
  image.src = address;
  try {
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = reject;
    });
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** A picture's width and height in pixels. Only its head is decoded for that. */
async function sizeOf(file, name) {
  const image = new Image();
  try {
    await showFile(image, file);
  } catch {
    throw new Problem(`“${name}” is not attached: it is damaged, or not a picture.`);
  }
  return { width: image.naturalWidth, height: image.naturalHeight };
}
