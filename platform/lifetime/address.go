// Package lifetime knows which public services and models have ended or will
// end, as their operators announced it. It says nothing of servers of one's own.
package lifetime

import (
	"net/netip"
	"net/url"
	"strings"
)

// Retirement is the end of a service.
type Retirement struct {
	Host    string
	What    string // what happened to it, and when
	Instead string // what to use in its place
}

// foundry is what took the place of GitHub's models.
const foundry = "Microsoft Foundry (https://RESOURCE.openai.azure.com/openai/v1, the deployment's name as the model) or another service that speaks OpenAI's protocol"

var retirements = []Retirement{
	{"models.github.ai", "GitHub Models was retired on 2026-07-30 and answers 410 to everyone", foundry},
	{"models.inference.ai.azure.com", "the first address of GitHub Models lost its support on 2025-10-17 and is gone", foundry},
	{"image.pollinations.ai", "it is kept in maintenance mode since November 2025 and hands out placeholders", "https://gen.pollinations.ai with a key from https://enter.pollinations.ai"},
	{"text.pollinations.ai", "it is kept in maintenance mode since November 2025 and answers with notices", "https://gen.pollinations.ai/v1 with a key from https://enter.pollinations.ai"},
	{"auth.pollinations.ai", "it is gone, and so are the tokens and tiers it gave", "https://gen.pollinations.ai with a key from https://enter.pollinations.ai"},
}

// RetiredAddress reports whether the service at an address has been retired.
func RetiredAddress(address string) (Retirement, bool) {
	host := hostOf(address)
	for _, retired := range retirements {
		if host == retired.Host {
			return retired, true
		}
	}
	return Retirement{}, false
}

// IsOpenAI reports whether an address is OpenAI's own, whose models end on the
// dates that ModelEnd knows.
func IsOpenAI(address string) bool {
	host := hostOf(address)
	return host == "api.openai.com" || strings.HasSuffix(host, ".api.openai.com")
}

// IsAzure reports whether an address is of Azure OpenAI or Foundry, where the
// operator names the models.
func IsAzure(address string) bool {
	host := hostOf(address)
	return strings.HasSuffix(host, ".openai.azure.com") || strings.HasSuffix(host, ".services.ai.azure.com")
}

// IsNearby reports whether an address is of this machine or the network it is
// in, judged by its form alone.
func IsNearby(address string) bool {
	host := hostOf(address)
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
	}
	return !strings.Contains(host, ".") || strings.HasSuffix(host, ".local") || strings.HasSuffix(host, ".internal")
}

func hostOf(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.ToLower(parsed.Hostname()), ".")
}
