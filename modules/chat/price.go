package chat

// priced is a provider of which the operator knows what it costs.
type priced interface {
	// price returns what a model costs, and whether that is known.
	price(model string) (Price, bool)
}

func (p *openAI) price(model string) (Price, bool) {
	for _, price := range p.prices {
		if price.Model == model {
			return price, true
		}
	}
	return Price{}, false
}

// cost returns what tokens of a model cost, in US dollars; 0 where no price is
// known.
func (c catalogue) cost(provider, model string, used tokens) float64 {
	for _, one := range c.providers {
		if of, known := one.(priced); known && one.Name() == provider {
			price, _ := of.price(model)
			return (float64(used.Input)*price.Input + float64(used.Output)*price.Output) / 1e6
		}
	}
	return 0
}
