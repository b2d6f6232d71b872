package image

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Alias is a name of the operator's under which users ask for the first of its
// models that makes the picture.
type Alias struct {
	Name   string   `mapstructure:"name"`
	Models []string `mapstructure:"models"` // ids, or "provider/id", in order
}

// alias is an Alias whose models were found.
type alias struct {
	name       string
	candidates []candidate // in order, at least one
}

// listed returns the alias as the list of models has it: with the abilities of
// its first model, whose requests the others stand in for.
func (a alias) listed() candidate {
	ids := make([]string, len(a.candidates))
	for i, c := range a.candidates {
		ids[i] = c.id
	}
	shown := a.candidates[0]
	shown.id = a.name
	shown.model.Description = "Stands for " + strings.Join(ids, ", ") + ": the first that makes the picture."
	return shown
}

// addAliases adds the operator's names for models. An error names the key that
// has to change.
func (r *router) addAliases(list []Alias) error {
	for _, named := range list {
		if named.Name == "" || len(named.Models) == 0 {
			return errors.New("image.aliases: each alias needs a name and models")
		}
		if len(r.find(named.Name)) > 0 {
			return fmt.Errorf("image.aliases: the name %q is taken", named.Name)
		}
		made := alias{name: named.Name}
		for _, model := range named.Models {
			one, known := r.findModel(model)
			if !known {
				return fmt.Errorf("image.aliases: %q names the model %q, which no provider offers", named.Name, model)
			}
			made.candidates = append(made.candidates, one)
		}
		r.aliases = append(r.aliases, made)
	}
	return nil
}

// list returns everything that a request may name, the default first.
func (r *router) list() []candidate {
	all := slices.Clone(r.models)
	for _, a := range r.aliases {
		all = append(all, a.listed())
	}
	return all
}
