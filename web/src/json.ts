/** A JSON object whose fields have not been looked at yet. */
export type Fields = Readonly<Record<string, unknown>>;

/** value as an object, or undefined for anything else (null and arrays included). */
export function asFields(value: unknown): Fields | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return value as Fields;
}

/** value as a string, or "" for anything else. */
export function asString(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** value as a finite number, or undefined for anything else. */
export function asNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

/** The objects in a list; anything else in it, or something that is no list, is left out. */
export function asList(value: unknown): Fields[] {
  if (!Array.isArray(value)) return [];
  return value.map(asFields).filter((item) => item !== undefined);
}
