// Package inflection stands in for github.com/jinzhu/inflection. GORM asks that
// for the names of tables, and it compiles 140 regular expressions at every
// start to know them. Here every row type names its table itself.
package inflection

// Plural returns word.
func Plural(word string) string { return word }

// Singular returns word.
func Singular(word string) string { return word }
