// The page's icons: lines on a grid of 24, drawn here so that none is loaded.

const SVG = "http://www.w3.org/2000/svg";
const LINES = {
  menu: "M4 7h16M4 12h16M4 17h10",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  sliders: "M4 8h9M17 8h3M4 16h3M11 16h9M15 5.5v5M9 13.5v5",
  contrast: "M12 3.5a8.5 8.5 0 1 0 0 17a8.5 8.5 0 1 0 0-17M12 3.5v17M12 8h4.5M12 12h8M12 16h4.5",
  up: "M12 19V5M6 11l6-6l6 6",
  down: "M12 5v14M6 13l6 6l6-6",
  stop: "M6.5 6.5h11v11h-11z",
  copy: "M9 9h10v11H9zM15 5H5v11",
  edit: "M5 19l1-4L16.5 4.5l3 3L9 18z",
  again: "M19 12a7 7 0 1 1-2.3-5.2M19 4v4h-4",
  on: "M5 12h13M13 6l6 6l-6 6",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13",
  left: "M14 6l-6 6l6 6",
  picture: "M4 5h16v14H4zM4 16l5-5l4 4l3-3l4 4M15 9h.01",
  right: "M10 6l6 6l-6 6",
};

/** An icon; what it stands for is said beside it. */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", LINES[name]);
  drawing.append(path);
  return drawing;
}

/** Puts the icons that the page's HTML names with data-icon into their places. */
export function placeIcons() {
  for (const place of document.querySelectorAll("[data-icon]")) place.prepend(icon(place.dataset.icon));
}
