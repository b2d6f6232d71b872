package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"llmhist/config"
	"llmhist/modules/chat"
	"llmhist/modules/image"
	"llmhist/modules/speech"
	"llmhist/platform/probe"
	"llmhist/platform/uid"
)

// providerLine says who answers for a module, for the start-up lines and the
// doctor.
type providerLine struct {
	module, name, text string
	problem            string          // what the operator has to do; "" = nothing
	endpoint           *probe.Endpoint // where it is; nil = on this machine
}

// describeProviders lists the providers of every module, those that serve
// requests naming no model first.
func (a *App) describeProviders(ctx context.Context) []providerLine {
	return slices.Concat(chatLines(a.chat.Describe()), imageLines(a.image.Describe()), speechLines(a.speech.Describe(ctx)))
}

// plannedProviders describes what a configuration asks for without opening any
// store. The error names every setting that is wrong.
func plannedProviders(ctx context.Context, cfg config.Config) (map[string][]providerLine, map[string]error) {
	lines, faults := map[string][]providerLine{}, map[string]error{}
	if module, err := chat.New(cfg.ChatConfig(), chat.Deps{Docs: documentation}); err != nil {
		faults["chat"] = err
	} else {
		lines["chat"] = append(chatLines(module.Describe()), unusedKeys(cfg, module.Describe())...)
		module.Close()
	}
	if planned, err := cfg.ImageConfig().Describe(); err != nil {
		faults["image"] = err
	} else {
		lines["image"] = imageLines(planned)
	}
	if module, err := speech.New(cfg.SpeechConfig(), speech.Deps{Now: uid.Now}); err != nil {
		faults["speech"] = err
	} else {
		lines["speech"] = speechLines(module.Describe(ctx))
		_ = module.Close(ctx) // nothing was spoken
	}
	return lines, faults
}

// unusedKeys names keys that are set but bring no provider into use: many shells
// hold them for other programs, and nothing leaves this machine by accident.
func unusedKeys(cfg config.Config, providers []chat.ProviderStatus) []providerLine {
	used := map[string]bool{}
	for _, provider := range providers {
		used[provider.Name] = true
	}
	list := []providerLine{}
	if cfg.OpenAI.APIKey != "" && !used["openai"] {
		list = append(list, providerLine{
			module: "chat", name: "openai", text: "openai: not used", problem: "OPENAI_API_KEY is set. To use it, set OPENAI_DEFAULT_MODEL too.",
		})
	}
	if cfg.GitHub.Token != "" && !used["github"] {
		list = append(list, providerLine{
			module: "chat", name: "github", text: "github: not used", problem: "GITHUB_TOKEN is set. " + chat.GitHubRetiredAdvice,
		})
	}
	return list
}

func chatLines(providers []chat.ProviderStatus) []providerLine {
	list := []providerLine{}
	for _, status := range providers {
		list = append(list, providerLine{
			module: "chat", name: status.Name, text: sayProvider(status.Name, status.Models, status.Note), endpoint: status.Endpoint,
		})
	}
	return list
}

func imageLines(providers []image.ProviderStatus) []providerLine {
	list := []providerLine{}
	for _, status := range providers {
		list = append(list, providerLine{
			module: "image", name: status.Name, text: sayProvider(status.Name, status.Models, status.Note), endpoint: status.Endpoint,
		})
	}
	return list
}

func speechLines(providers []speech.ProviderStatus) []providerLine {
	list := []providerLine{}
	for _, status := range providers {
		line := providerLine{
			module: "speech", name: status.Name, text: sayProvider(status.Name, status.Models, status.Note), endpoint: status.Endpoint,
		}
		if len(status.Models) == 0 {
			line.problem = status.Note
		}
		list = append(list, line)
	}
	return list
}

func sayProvider(name string, models []string, note string) string {
	text := fmt.Sprintf("%s: %s", name, strings.Join(models, ", "))
	if note != "" {
		text += " (" + strings.TrimSuffix(note, ".") + ")"
	}
	return text
}
