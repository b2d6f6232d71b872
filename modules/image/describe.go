package image

// Describe lists the providers that a configuration asks for, in the order in
// which they are asked, without opening anything. The error names every setting
// that is wrong.
func (c Config) Describe() ([]ProviderStatus, error) {
	providers, err := c.providers(nil)
	if err != nil {
		return nil, err
	}
	list := make([]ProviderStatus, 0, len(providers))
	for _, p := range providers {
		list = append(list, p.status())
		p.close()
	}
	return list, nil
}
