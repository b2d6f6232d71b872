package image

import (
	"fmt"
	"math"
)

// Price is what a picture of a model costs, in US dollars.
type Price struct {
	Model string  `mapstructure:"model"`
	Size  string  `mapstructure:"size"` // "WxH" in pixels; "" = every size without a price of its own
	Image float64 `mapstructure:"image"`
}

// priceList returns the prices of one of the upstream's models.
func (u Upstream) priceList(model string) []Price {
	var list []Price
	for _, price := range u.Prices {
		if price.Model == model {
			list = append(list, price)
		}
	}
	return list
}

// check says what is wrong with a price of one of these models.
func (p Price) check(known func(model string) bool) error {
	if !known(p.Model) {
		return fmt.Errorf("%q is not among the models", p.Model)
	}
	if !(p.Image >= 0) || math.IsInf(p.Image, 0) { // refuses NaN too
		return fmt.Errorf("image must be a number of 0 or more for %s", p.Model)
	}
	if p.Size != "" {
		if _, err := ParseSize(p.Size); err != nil {
			return fmt.Errorf("size %q %w", p.Size, err)
		}
	}
	return nil
}

// cost returns what a picture of this size costs, in US dollars; 0 where no
// price is known.
func (m Model) cost(size Size) float64 {
	usual := 0.0
	for _, price := range m.Prices {
		switch price.Size {
		case size.String():
			return price.Image
		case "":
			usual = price.Image
		}
	}
	return usual
}
