package database

import "strings"

// Contains returns the argument for a `column LIKE ? ESCAPE '\'` condition that
// looks for text anywhere, with the wildcards % and _ taken literally.
func Contains(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}
