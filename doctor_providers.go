package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"llmhist/modules/chat"
	"llmhist/platform/lifetime"
	"llmhist/platform/probe"
)

// services are the modules that have providers.
var services = []string{"chat", "image", "speech"}

// checkProviders judges every provider by what is configured and, online, by
// what it says itself.
func (e *examination) checkProviders(ctx context.Context) []finding {
	lines, list := e.providerLines(ctx)
	for _, line := range lines {
		list = append(list, line.judge(e.now)...)
	}
	list = append(list, e.checkUnusedAddresses(lines)...)
	if !e.online {
		return list
	}
	return append(list, e.askProviders(ctx, lines)...)
}

// providerLines lists the providers in use, and what keeps others from being
// used.
func (e *examination) providerLines(ctx context.Context) ([]providerLine, []finding) {
	if e.server != nil {
		return append(e.server.describeProviders(ctx), unusedKeys(e.cfg, e.server.chat.Describe())...), nil
	}
	planned, faults := plannedProviders(ctx, e.cfg)
	lines, list := []providerLine{}, []finding{}
	for _, service := range services {
		if err := faults[service]; err != nil {
			list = append(list, failed(areaProvider, service, oneLine(err), "Correct the setting it names."))
		}
		lines = append(lines, planned[service]...)
	}
	return lines, list
}

// label names a provider among all services.
func (l providerLine) label() string { return l.module + "/" + l.name }

// judge says what is known of a provider without asking it.
func (l providerLine) judge(now time.Time) []finding {
	list := []finding{}
	if l.problem != "" {
		list = append(list, warned(areaProvider, l.label(), l.text, l.problem))
	}
	if l.endpoint != nil {
		list = append(list, l.judgeAddress()...)
		list = append(list, l.judgeKey()...)
		for _, model := range l.endpoint.Models {
			list = append(list, l.judgeModel(model, now)...)
		}
	}
	if len(list) == 0 {
		list = append(list, fine(areaProvider, l.label(), l.text))
	}
	return list
}

func (l providerLine) judgeAddress() []finding {
	retired, ok := lifetime.RetiredAddress(l.endpoint.BaseURL)
	if !ok {
		return nil
	}
	action := "Set " + l.endpoint.Settings.Address + " to " + retired.Instead + "."
	if l.label() == "chat/github" {
		action = chat.GitHubRetiredAdvice
	}
	return []finding{failed(areaProvider, l.label(), retired.Host+": "+retired.What, action)}
}

// judgeKey knows services that refuse everyone without a key.
func (l providerLine) judgeKey() []finding {
	base := l.endpoint.BaseURL
	needed := lifetime.IsOpenAI(base) || l.endpoint.OpenList && !lifetime.IsNearby(base)
	if l.endpoint.HasKey || !needed {
		return nil
	}
	return []finding{failed(areaProvider, l.label(), "no key is set, and without one "+hostIn(base)+" refuses to generate", "Set "+l.endpoint.Settings.Key+".")}
}

// judgeModel knows when OpenAI shuts its models down. Another public service
// may sell the same ones; a server of one's own and a deployment at Azure only
// share the name.
func (l providerLine) judgeModel(model string, now time.Time) []finding {
	end, known := lifetime.ModelEnd(model)
	base := l.endpoint.BaseURL
	if !known || lifetime.IsNearby(base) || lifetime.IsAzure(base) {
		return nil
	}
	setting := l.endpoint.ModelSetting(model)
	action := "Change " + setting + ". In its place: " + end.Instead + "."
	switch {
	case lifetime.IsOpenAI(base) && end.Over(now):
		return []finding{failed(areaProvider, l.label(), fmt.Sprintf("OpenAI shut the model %s down on %s", model, end.Date()), action)}
	case lifetime.IsOpenAI(base):
		return []finding{warned(areaProvider, l.label(), fmt.Sprintf("OpenAI shuts the model %s down on %s", model, end.Date()), action)}
	case end.Over(now):
		return []finding{warned(areaProvider, l.label(), fmt.Sprintf("OpenAI shut its model %s down on %s, and %s may have lost it too", model, end.Date(), hostIn(base)),
			"Ask with llmhist doctor --online whether it still lists the model, or change "+setting+".")}
	}
	return nil
}

// checkUnusedAddresses warns of retired services that are configured while
// nothing uses them: whoever turns them on would be let down.
func (e *examination) checkUnusedAddresses(lines []providerLine) []finding {
	used := map[string]bool{}
	for _, line := range lines {
		if line.endpoint != nil {
			used[line.endpoint.Settings.Address] = true
		}
	}
	list := []finding{}
	for _, named := range e.configuredAddresses() {
		if retired, ok := lifetime.RetiredAddress(named.address); ok && !used[named.setting] {
			list = append(list, warned(areaConfig, named.setting, "not used now, and names "+retired.Host+": "+retired.What, "Remove it, or set it to "+retired.Instead+"."))
		}
	}
	return list
}

type configuredAddress struct{ setting, address string }

// configuredAddresses lists where providers are said to be, without the default
// of GitHub Models, which nobody set.
func (e *examination) configuredAddresses() []configuredAddress {
	list := []configuredAddress{{"OPENAI_BASE_URL", e.cfg.OpenAI.BaseURL}, {"POLLINATIONS_API_URL", e.cfg.Pollinations.APIURL}}
	if e.cfg.GitHub.APIBase != chat.DefaultGitHubAPIBase {
		list = append(list, configuredAddress{"GITHUB_API_BASE", e.cfg.GitHub.APIBase})
	}
	for _, u := range e.cfg.Chat.Upstreams {
		list = append(list, configuredAddress{"chat.upstreams[" + u.Name + "].base_url", u.BaseURL})
	}
	for _, u := range e.cfg.Image.Upstreams {
		list = append(list, configuredAddress{"image.upstreams[" + u.Name + "].base_url", u.BaseURL})
	}
	for _, u := range e.cfg.Speech.Upstreams {
		list = append(list, configuredAddress{"speech.upstreams[" + u.Name + "].base_url", u.BaseURL})
	}
	return list
}

// hostIn returns the host of an address, the only part of it that is shown.
func hostIn(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return parsed.Host
}

// maxAsked is how many providers are asked at a time.
const maxAsked = 8

// askProviders asks every provider that is not on this machine.
func (e *examination) askProviders(ctx context.Context, lines []providerLine) []finding {
	list := []finding{}
	remote := slices.DeleteFunc(slices.Clone(lines), func(l providerLine) bool { return l.endpoint == nil })
	for some := range slices.Chunk(remote, maxAsked) {
		asks := make([]func(context.Context) []finding, 0, len(some))
		for _, line := range some {
			asks = append(asks, func(ctx context.Context) []finding { return line.ask(ctx, e.now) })
		}
		list = append(list, together(ctx, asks...)...)
	}
	return list
}

// ask says how a provider answers. Nothing goes to an address that has been
// retired: whoever has it now would learn the key.
func (l providerLine) ask(ctx context.Context, now time.Time) []finding {
	if _, retired := lifetime.RetiredAddress(l.endpoint.BaseURL); retired {
		return []finding{skipped(areaProvider, l.label(), "not asked: its address has been retired, and no key is sent there")}
	}
	if l.endpoint.ListURL == "" {
		return []finding{skipped(areaProvider, l.label(), "not asked: it cannot be asked without generating")}
	}
	models, err := probe.List(ctx, l.name, *l.endpoint)
	if err != nil {
		return []finding{l.judgeSilence(err)}
	}
	return l.judgeList(models, now)
}
