package speech

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Price is what a model costs, in US dollars for a million characters of text.
type Price struct {
	Model      string  `mapstructure:"model"` // "" = every model without a price of its own
	Characters float64 `mapstructure:"characters"`
}

// check says what is wrong with a price of one of these models.
func (p Price) check(known func(model string) bool) error {
	if p.Model != "" && !known(p.Model) {
		return fmt.Errorf("%q is not among the models", p.Model)
	}
	if !(p.Characters >= 0) || math.IsInf(p.Characters, 0) { // refuses NaN too
		return fmt.Errorf("characters must be a number of 0 or more")
	}
	return nil
}

// price returns what one of the upstream's models costs for a million
// characters; 0 where that is not known.
func (u Upstream) price(model string) float64 {
	usual := 0.0
	for _, price := range u.Prices {
		switch price.Model {
		case model:
			return price.Characters
		case "":
			usual = price.Characters
		}
	}
	return usual
}

// cost returns what it costs to speak a text, in US dollars.
func (m model) cost(text string) float64 {
	return float64(utf8.RuneCountInString(text)) * m.price / 1e6
}
