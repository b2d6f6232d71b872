package speech

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Alias is a name of the operator's under which users ask for the first of its
// models that speaks.
type Alias struct {
	Name   string   `mapstructure:"name"`
	Models []string `mapstructure:"models"` // ids, or the other names of models, in order
}

// addAliases adds the operator's names for models. An error names the key that
// has to change.
func (c *catalog) addAliases(ctx context.Context, list []Alias) error {
	for _, named := range list {
		if named.Name == "" || len(named.Models) == 0 {
			return errors.New("speech.aliases: each alias needs a name and models")
		}
		_, unknown := c.find(ctx, named.Name)
		if _, taken := c.alias(named.Name); taken || unknown == nil {
			return fmt.Errorf("speech.aliases: the name %q is taken", named.Name)
		}
		for _, model := range named.Models {
			if _, unknown := c.find(ctx, model); unknown != nil {
				return fmt.Errorf("speech.aliases: %q names the model %q, which no provider offers", named.Name, model)
			}
		}
		c.aliases = append(c.aliases, named)
	}
	return nil
}

// alias returns the alias of this name.
func (c *catalog) alias(name string) (Alias, bool) {
	for _, a := range c.aliases {
		if a.Name == name {
			return a, true
		}
	}
	return Alias{}, false
}

// members returns the models of an alias in order, each as a choice of its own.
func (c *catalog) members(ctx context.Context, a Alias) [][]model {
	var choices [][]model
	for _, name := range a.Models {
		if m, unknown := c.find(ctx, name); unknown == nil {
			choices = append(choices, []model{m})
		}
	}
	return choices
}

// listed returns the alias as the list of models has it: with the abilities of
// its first model that can be used.
func (c *catalog) listed(ctx context.Context, a Alias) model {
	var shown model
	var ids []string
	for _, choice := range c.members(ctx, a) {
		m := choice[0]
		ids = append(ids, m.id)
		if shown.id == "" || shown.missing != "" && m.missing == "" {
			shown = m
		}
		shown.remote = shown.remote || m.remote
	}
	shown.id, shown.aliases = a.Name, nil
	shown.note = "Stands for " + strings.Join(ids, ", ") + ": the first that speaks."
	return shown
}
