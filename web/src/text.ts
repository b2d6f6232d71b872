import { en } from "./text.en.ts";

/** The shape every language's dictionary has; another language is one more file of this type. */
export type Dictionary = Record<keyof typeof en, string>;

/** A key of the dictionary. */
export type TextKey = keyof typeof en;

/** Values for the {name} marks of an entry. */
export type TextValues = Readonly<Record<string, string | number>>;

/** The dictionary in use. */
const dictionary: Dictionary = en;

/** True when key names an entry of the dictionary. */
export function isTextKey(key: string): key is TextKey {
  return Object.hasOwn(dictionary, key);
}

/**
 * The entry for key with its {name} marks replaced by values. A mark without a value
 * stays as it is, which shows in a test or a screenshot instead of reading "undefined".
 */
export function text(key: TextKey, values: TextValues = {}): string {
  return dictionary[key].replace(/\{(\w+)\}/g, (mark, name: string) =>
    Object.hasOwn(values, name) ? String(values[name]) : mark,
  );
}

/** The entry for the right number: keyOne for exactly 1, keyMany otherwise; {n} is the number. */
export function textCount(n: number, keyOne: TextKey, keyMany: TextKey): string {
  return text(n === 1 ? keyOne : keyMany, { n });
}
