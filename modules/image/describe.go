package image

import "llmhist/platform/outbound"

// Describe lists the providers that a configuration asks for, in the order in
// which they are asked, without opening anything. The error names every setting
// that is wrong.
func (c Config) Describe() ([]ProviderStatus, error) {
	router, err := c.router(nil)
	if err != nil {
		return nil, err
	}
	defer router.close()
	list := make([]ProviderStatus, 0, len(router.providers))
	for _, p := range router.providers {
		list = append(list, p.status())
	}
	return list, nil
}

// Upstreams returns how calls to each remote provider go.
func (m *Module) Upstreams() []outbound.Status {
	list := []outbound.Status{}
	for _, p := range m.service.router.providers {
		if remote, ok := p.(interface{ upstreamStatus() outbound.Status }); ok {
			list = append(list, remote.upstreamStatus())
		}
	}
	return list
}
