// Pictures that go with messages: which files are taken, and what a message says of them.
//
// A message's picture is {id, name, width, height}; its file, a Blob, is in the album, see album.js.

import { newId } from "./conversation.js";
import { Problem } from "./problem.js";

/** The types that both the server and browsers can read. */
export const TYPES = ["image/png", "image/jpeg", "image/gif", "image/bmp", "image/webp"];
const TYPE_NAMES = "PNG, JPEG, GIF, BMP and WebP";
const MIB = 2 ** 20;
const MAX_MIB = 10;
/** What the server reads. */
const MAX_PIXELS = 80_000_000;

/** A file that the user gave -> {picture, file}; throws a Problem that says why it is not taken. */
export async function pictureOf(given) {
  const name = given.name || "picture";
  const refuse = (reason) => new Problem(`“${name}” is not attached: ${reason}.`);
  if (!TYPES.includes(given.type)) throw refuse(`pictures can be ${TYPE_NAMES}`);
  if (given.size > MAX_MIB * MIB) {
    throw refuse(`it has ${(given.size / MIB).toFixed(1)} MiB, and a picture may have ${MAX_MIB}`);
  }
  const file = await copyOf(given);
  const image = new Image();
  if (!file || !(await showFile(image, file))) throw refuse("it is damaged, or not a picture");
  const { naturalWidth: width, naturalHeight: height } = image;
  if (width * height > MAX_PIXELS) {
    throw refuse(`it has ${width} x ${height} pixels, and a picture may have ${MAX_PIXELS / 1e6} million in all`);
  }
  return { picture: { id: newId(), name, width, height }, file };
}

/** Lets an image element show a file; whether it is a picture. */
export async function showFile(image, file) {
  const address = URL.createObjectURL(file);
  const isShown = new Promise((resolve) => {
    image.onload = () => resolve(true);
    image.onerror = () => resolve(false);
  });
  image.src = address;
  await isShown;
  URL.revokeObjectURL(address);
  return isShown;
}

/** The same in memory, as what is on the disk may change or go; undefined if it cannot be read. */
async function copyOf(file) {
  try {
    return new Blob([await file.arrayBuffer()], { type: file.type });
  } catch {
    return undefined;
  }
}
