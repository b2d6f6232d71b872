package main

import (
	"context"
	"net/http"

	"llmhist/platform/fault"
	"llmhist/platform/web"
)

// modelEntry is a model in the shape of OpenAI's API
// (https://platform.openai.com/docs/api-reference/models/object).
type modelEntry struct {
	ID      string `json:"id" example:"local/canvas"`
	Object  string `json:"object" enum:"model"`
	Created int64  `json:"created" doc:"Unix seconds; 0 = not known."`
	OwnedBy string `json:"owned_by" doc:"The provider that answers."`
	Service string `json:"service" enum:"chat,embedding,image,speech" doc:"Not of OpenAI: what the model is for."`
}

type modelList struct {
	Object string       `json:"object" enum:"list"`
	Data   []modelEntry `json:"data"`
}

type modelRequest struct {
	ID string `path:"*" json:"-" doc:"A model's id, which may hold slashes."`
}

// mountModels adds the list of every model that can be used below /v1. It is
// here because no module knows the models of the others.
func (a *App) mountModels(router *web.Router) {
	const tag = "OpenAI-compatible"
	router.Add(
		web.Route{
			Method: http.MethodGet, Path: "/v1/models", Access: web.Optional, Tag: tag, Summary: "List the models",
			Handler: web.JSON(http.StatusOK, func(ctx context.Context, _ struct{}) (modelList, error) {
				return modelList{Object: "list", Data: a.models(ctx)}, nil
			}),
		},
		web.Route{
			Method: http.MethodGet, Path: "/v1/models/*", Access: web.Optional, Tag: tag, Summary: "Read one model",
			Handler: web.JSON(http.StatusOK, func(ctx context.Context, in modelRequest) (modelEntry, error) {
				for _, entry := range a.models(ctx) {
					if entry.ID == in.ID {
						return entry, nil
					}
				}
				return modelEntry{}, fault.New(fault.NotFound, "model_not_found", "There is no such model here. GET /v1/models lists those that can be used.")
			}),
		},
	)
}

// models lists what every module offers, each id once.
func (a *App) models(ctx context.Context) []modelEntry {
	list, taken := []modelEntry{}, map[string]bool{}
	add := func(service, id, provider string) {
		if !taken[id] {
			taken[id] = true
			list = append(list, modelEntry{ID: id, Object: "model", OwnedBy: provider, Service: service})
		}
	}
	for _, offer := range a.chat.ListModels(ctx) {
		add("chat", offer.ID, offer.Provider)
	}
	for _, offer := range a.chat.EmbeddingModels() {
		add("embedding", offer.ID, offer.Provider)
	}
	for _, offer := range a.image.Offers() {
		add("image", offer.ID, offer.Provider)
	}
	for _, offer := range a.speech.Offers(ctx) {
		add("speech", offer.ID, offer.Provider)
	}
	return list
}
