package chat

import (
	"errors"
	"net/http"

	"llmhist/platform/fault"
	"llmhist/platform/outbound"
)

// GitHubRetiredAdvice tells an operator what to use in place of GitHub Models,
// which was shut down on 2026-07-30 and answers 410 since.
const GitHubRetiredAdvice = "GitHub Models was retired on 2026-07-30. Use Microsoft Foundry (Azure OpenAI v1) instead: " +
	"OPENAI_BASE_URL=https://RESOURCE.openai.azure.com/openai/v1, OPENAI_API_KEY=its key, OPENAI_DEFAULT_MODEL=your deployment's name; " +
	"or point GITHUB_API_BASE at a service that still speaks the protocol."

// lastGitHubModel is the default of old installations. It only matters where
// GITHUB_API_BASE names a service that lives on.
const lastGitHubModel = "openai/gpt-4o-mini"

// newGitHub returns a client that speaks the protocol of GitHub Models: OpenAI's
// with two headers of GitHub's own.
func newGitHub(u Upstream) *openAI {
	client := newOpenAI(u)
	client.headers.Set("Accept", "application/vnd.github+json")
	client.headers.Set("X-Github-Api-Version", "2022-11-28")
	client.explain = func(err error) error {
		var upstream *outbound.Upstream
		if errors.As(err, &upstream) && upstream.Status == http.StatusGone {
			return fault.Wrap(err, fault.BadUpstream, "provider_retired", GitHubRetiredAdvice).With("provider", u.Name)
		}
		return err
	}
	return client
}
