package image

import (
	"context"
	"encoding/json"

	"llmhist/platform/fault"
	"llmhist/platform/outbound"
)

// a1111URL is where the server listens by itself.
const a1111URL = "http://127.0.0.1:7860"

// a1111Step is what the sides of its pictures are multiples of.
const a1111Step = 8

// a1111 speaks the API of AUTOMATIC1111's web UI, which Forge, SD.Next and
// stable-diffusion.cpp have too.
type a1111 struct {
	upstream Upstream
	caller   *caller
	cores    gate
}

func newA1111(upstream Upstream, cores gate) *a1111 {
	return &a1111{upstream: upstream, caller: newCaller(upstream), cores: cores}
}

func (a *a1111) status() ProviderStatus {
	endpoint := a.upstream.endpoint(a.upstream.BaseURL + "/sdapi/v1/sd-models")
	endpoint.NoList = "Start it with --api, or correct " + endpoint.Settings.Address + "."
	return ProviderStatus{
		Name: a.upstream.Name, Models: a.upstream.Models, Remote: true, Note: "sends prompts to " + hostOf(a.upstream.BaseURL),
		Endpoint: endpoint,
	}
}

func (a *a1111) models() []Model {
	return a.upstream.modelList("Made by the provider "+a.upstream.Name+" at "+hostOf(a.upstream.BaseURL)+".", true)
}

func (a *a1111) upstreamStatus() outbound.Status { return a.caller.client.Status() }

func (a *a1111) close() { a.caller.client.Close() }

// txt2imgRequest has the fields that llmhist decides; the server's own settings
// hold for the others.
type txt2imgRequest struct {
	Prompt         string         `json:"prompt"`
	NegativePrompt string         `json:"negative_prompt"`
	Width          int            `json:"width"`
	Height         int            `json:"height"`
	Steps          int            `json:"steps,omitempty"`
	Seed           int64          `json:"seed"`
	BatchSize      int            `json:"batch_size"`
	N              int            `json:"n_iter"`
	SendImages     bool           `json:"send_images"`
	SaveImages     bool           `json:"save_images"`
	Override       map[string]any `json:"override_settings"`
	Restore        bool           `json:"override_settings_restore_afterwards"`
}

func (a *a1111) generate(ctx context.Context, task Task) (Output, error) {
	ctx, release, err := a.caller.client.Hold(ctx)
	if err != nil {
		return Output{}, err
	}
	defer release()
	seed, negative := task.Seed, task.NegativePrompt
	task.NegativePrompt = "" // the protocol has a field for it
	prompt := promptInWords(task)
	encoded, err := a.ask(ctx, txt2imgRequest{
		Prompt: prompt, NegativePrompt: negative, Width: task.Size.Width, Height: task.Size.Height, Steps: a.upstream.Steps, Seed: seed,
		BatchSize: 1, N: 1, SendImages: true, Override: map[string]any{"sd_model_checkpoint": task.Model}, Restore: true,
	})
	if err != nil {
		return Output{}, err
	}
	data, err := decodePicture(a.upstream.Name, encoded)
	if err != nil {
		return Output{}, err
	}
	made, err := convert(ctx, a.cores, a.upstream.Name, data)
	if err != nil {
		return Output{}, err
	}
	output := Output{Picture: made, Seed: &seed}
	if prompt != task.Prompt {
		output.SentPrompt = prompt
	}
	return output, nil
}

// ask returns the first picture, in base64.
func (a *a1111) ask(ctx context.Context, body txt2imgRequest) (string, error) {
	response, err := a.caller.postJSON(ctx, a.upstream.BaseURL+"/sdapi/v1/txt2img", body)
	if fault.CodeOf(err) == "provider_model_not_found" {
		return "", badAnswer(err, a.upstream.Name, "provider_api_off",
			"has no /sdapi/v1/txt2img: the operator must start it with --api, or correct "+a.upstream.settings().Address)
	}
	if err != nil {
		return "", err
	}
	data, err := a.caller.client.ReadAll(response)
	if err != nil {
		return "", err
	}
	var answer struct {
		Images []string `json:"images"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return "", badAnswer(errNotJSON, a.upstream.Name, "provider_bad_answer", "answered with something that is not the expected JSON")
	}
	if len(answer.Images) == 0 {
		return "", badAnswer(nil, a.upstream.Name, "provider_no_picture", "answered without a picture")
	}
	return answer.Images[0], nil
}
