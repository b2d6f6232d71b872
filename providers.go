package main

import (
	"context"
	"fmt"
	"strings"

	"llmhist/config"
	"llmhist/modules/chat"
	"llmhist/modules/image"
	"llmhist/modules/speech"
	"llmhist/platform/uid"
)

// providerLine says who answers for a module, for the start-up lines and the
// doctor.
type providerLine struct {
	module, text string
	problem      string // what the operator has to do; "" = nothing
}

// describeProviders lists the providers of every module, those that serve
// requests naming no model first.
func (a *App) describeProviders(ctx context.Context) []providerLine {
	return providerLines(a.chat.Models(), a.image.Describe(), a.speech.Describe(ctx))
}

// plannedProviders describes what a configuration asks for without opening any
// store. The error names every setting that is wrong.
func plannedProviders(ctx context.Context, cfg config.Config) (map[string][]providerLine, map[string]error) {
	lines, faults := map[string][]providerLine{}, map[string]error{}
	if module, err := chat.New(cfg.ChatConfig(), chat.Deps{Docs: documentation}); err != nil {
		faults["chat"] = err
	} else {
		lines["chat"] = append(providerLines(module.Models(), nil, nil), unusedKeys(cfg, module.Models())...)
	}
	if planned, err := cfg.ImageConfig().Describe(); err != nil {
		faults["image"] = err
	} else {
		lines["image"] = providerLines(nil, planned, nil)
	}
	if module, err := speech.New(cfg.SpeechConfig(), speech.Deps{Now: uid.Now}); err != nil {
		faults["speech"] = err
	} else {
		lines["speech"] = providerLines(nil, nil, module.Describe(ctx))
	}
	return lines, faults
}

// unusedKeys names keys that are set but bring no provider into use: many shells
// hold them for other programs, and nothing leaves this machine by accident.
func unusedKeys(cfg config.Config, models []chat.Model) []providerLine {
	used := map[string]bool{}
	for _, model := range models {
		used[model.Provider] = true
	}
	list := []providerLine{}
	if cfg.OpenAI.APIKey != "" && !used["openai"] {
		list = append(list, providerLine{"chat", "openai: not used", "OPENAI_API_KEY is set. To use it, set OPENAI_DEFAULT_MODEL too."})
	}
	if cfg.GitHub.Token != "" && !used["github"] {
		list = append(list, providerLine{"chat", "github: not used", "GITHUB_TOKEN is set. " + chat.GitHubRetiredAdvice})
	}
	return list
}

func providerLines(models []chat.Model, images []image.ProviderStatus, speeches []speech.ProviderStatus) []providerLine {
	list := []providerLine{}
	byProvider := map[string]int{}
	for _, model := range models {
		if at, seen := byProvider[model.Provider]; seen {
			list[at].text += ", " + model.ID
			continue
		}
		byProvider[model.Provider] = len(list)
		line := providerLine{module: "chat", text: model.Provider + ": " + model.ID}
		if model.Provider == "github" {
			line.problem = chat.GitHubRetiredAdvice
		}
		list = append(list, line)
	}
	for _, status := range images {
		list = append(list, providerLine{module: "image", text: sayProvider(status.Name, status.Models, status.Note)})
	}
	for _, status := range speeches {
		line := providerLine{module: "speech", text: sayProvider(status.Name, status.Models, status.Note)}
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
		text += " (" + note + ")"
	}
	return text
}
