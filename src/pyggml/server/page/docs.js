// The API's description, made of the OpenAPI schema that the server writes.

import { element, find } from "./dom.js";
import { typeOf } from "./schema_types.js";

async function schema() {
  const response = await fetch(new URL("openapi.json", document.baseURI));
  if (!response.ok) throw new Error(`openapi.json: the server answered ${response.status}`);
  return response.json();
}

/** [{method, path, id, operation}] in the schema's order. */
function operationsOf({ paths }) {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
}

function contents(operations) {
  const entries = operations.map((each) => element("li", {}, element("a", { href: `#${nameOf(each)}` }, title(each))));
  return element("ul", {}, ...entries);
}

function nameOf({ method, path }) {
  return `${method}${path}`;
}

function title({ method, path }) {
  return element("code", {}, element("b", {}, method), ` ${path}`);
}

function section(each, components) {
  const { description, parameters = [], requestBody } = each.operation;
  return element(
    "section",
    { id: nameOf(each), "aria-label": nameOf(each) },
    element("h2", {}, title(each)),
    ...(description ?? "").split("\n\n").map((text) => element("p", {}, text)),
    table("Parameters", parameters.map(({ name, required, schema }) => ({ name, required, schema })), components),
    requestBody && table("Body", fieldsOf(requestBody, components), components),
  );
}

/** The fields of a JSON object that is sent; none for any other body. */
function fieldsOf({ content }, components) {
  const given = content["application/json"]?.schema ?? {};
  const { properties = {}, required = [] } = components[given.$ref?.split("/").at(-1)] ?? given;
  return Object.entries(properties).map(([name, schema]) => ({ name, required: required.includes(name), schema }));
}

function table(caption, fields, components) {
  if (!fields.length) return null;
  const rows = fields.map(({ name, required, schema }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, element("code", {}, name)),
      element("td", {}, typeOf(schema, components)),
      element("td", {}, required ? "required" : defaultOf(schema)),
    ),
  );
  const heads = ["Field", "Type", "Default"].map((text) => element("th", { scope: "col" }, text));
  return element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...rows),
  );
}

/** Nothing where the server or the model decides. */
function defaultOf(schema) {
  return schema.default == null ? "" : JSON.stringify(schema.default);
}

async function start() {
  try {
    const found = await schema();
    const operations = operationsOf(found);
    const components = found.components?.schemas ?? {};
    find("#contents").append(contents(operations));
    find("#operations").append(...operations.map((each) => section(each, components)));
    document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
  } catch (error) {
    find("#problem").textContent = error.message;
    find("#problem").hidden = false;
  }
}

await start();
