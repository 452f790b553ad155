// Types of an OpenAPI schema, in words.

const NAMES = { integer: "whole number", boolean: "true or false", array: "list", null: "nothing" };

/** What a value may be; `components` are the schemas that others refer to. */
export function typeOf(schema, components) {
  const several = schema.anyOf ?? schema.oneOf;
  if (several) {
    const types = several.filter(({ type }) => type !== "null").map((each) => typeOf(each, components));
    return [...new Set(types)].join(", or ");
  }
  if (schema.$ref) return typeOf({ ...components[schema.$ref.split("/").at(-1)], $ref: undefined }, components);
  const values = schema.enum ?? (schema.const === undefined ? null : [schema.const]);
  if (values) return values.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.type === "array" && schema.items) return `list of (${typeOf(schema.items, components)})`;
  return `${NAMES[schema.type] ?? schema.type ?? "anything"}${limits(schema)}`;
}

function limits({ minimum, maximum }) {
  if (minimum === undefined && maximum === undefined) return "";
  if (maximum === undefined) return `, ${minimum} or more`;
  return minimum === undefined ? `, ${maximum} or less` : `, ${minimum} to ${maximum}`;
}
