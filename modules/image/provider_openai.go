package image

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"

	"llmhist/platform/fault"
	"llmhist/platform/outbound"
)

// openAI speaks the images protocol of OpenAI and the servers that follow it.
type openAI struct {
	upstream Upstream
	api      *imagesAPI
}

func newOpenAI(upstream Upstream, cores gate) *openAI {
	return &openAI{upstream: upstream, api: newImagesAPI(upstream, upstream.BaseURL, cores)}
}

func (o *openAI) status() ProviderStatus {
	return ProviderStatus{
		Name: o.upstream.Name, Models: o.upstream.Models, Remote: true, Note: "sends prompts to " + hostOf(o.upstream.BaseURL),
		Endpoint: o.upstream.endpoint(o.upstream.BaseURL + "/models"),
	}
}

func (o *openAI) models() []Model {
	return o.upstream.modelList("Made by the provider "+o.upstream.Name+" at "+hostOf(o.upstream.BaseURL)+".", false)
}

func (o *openAI) generate(ctx context.Context, task Task) (Output, error) {
	return o.api.generate(ctx, task, nil)
}

func (o *openAI) upstreamStatus() outbound.Status { return o.api.caller.client.Status() }

func (o *openAI) close() { o.api.close() }

func (u Upstream) modelList(description string, seeds bool) []Model {
	list := make([]Model, 0, len(u.Models))
	for _, id := range u.Models {
		list = append(list, Model{ID: id, Description: description, Sizes: u.Sizes, SizeStep: u.SizeStep, Seeds: seeds, Prices: u.priceList(id)})
	}
	return list
}

func hostOf(base string) string {
	parsed, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return parsed.Host
}

// imagesAPI calls POST {base}/images/generations.
type imagesAPI struct {
	name      string
	base      string
	caller    *caller
	downloads *downloader
	cores     gate

	refusing sync.Map // models that refuse response_format; as many as are configured
}

func newImagesAPI(upstream Upstream, base string, cores gate) *imagesAPI {
	c := newCaller(upstream)
	return &imagesAPI{name: upstream.Name, base: base, caller: c, downloads: newDownloader(c, base, upstream.Limits.MaxBytes), cores: cores}
}

func (a *imagesAPI) close() {
	a.caller.client.Close()
	a.downloads.close()
}

// imagesRequest has the fields that servers of unknown make understand.
type imagesRequest struct {
	Model          string `json:"model"`
	Prompt         string `json:"prompt"`
	N              int    `json:"n"`
	Size           string `json:"size"`
	ResponseFormat string `json:"response_format,omitempty"`
	Seed           *int64 `json:"seed,omitempty"`
}

type imagesAnswer struct {
	Data []struct {
		Base64        string `json:"b64_json"`
		URL           string `json:"url"`
		RevisedPrompt string `json:"revised_prompt"`
	} `json:"data"`
	Usage struct {
		InputTokens  int64 `json:"input_tokens"`
		OutputTokens int64 `json:"output_tokens"`
	} `json:"usage"`
}

// generate makes one picture; seed nil sends none.
func (a *imagesAPI) generate(ctx context.Context, task Task, seed *int64) (Output, error) {
	ctx, release, err := a.caller.client.Hold(ctx)
	if err != nil {
		return Output{}, err
	}
	defer release()
	prompt := promptInWords(task)
	answer, err := a.ask(ctx, imagesRequest{Model: task.Model, Prompt: prompt, N: 1, Size: task.Size.String(), Seed: seed})
	if err != nil {
		return Output{}, err
	}
	if len(answer.Data) == 0 {
		return Output{}, badAnswer(nil, a.name, "provider_no_picture", "answered without a picture")
	}
	first := answer.Data[0]
	data, err := a.bytesOf(ctx, first.Base64, first.URL)
	if err != nil {
		return Output{}, err
	}
	made, err := convert(ctx, a.cores, a.name, data)
	if err != nil {
		return Output{}, err
	}
	output := Output{
		Picture: made, Seed: seed, RevisedPrompt: clip(first.RevisedPrompt),
		InputTokens: max(answer.Usage.InputTokens, 0), OutputTokens: max(answer.Usage.OutputTokens, 0),
	}
	if prompt != task.Prompt {
		output.SentPrompt = prompt
	}
	return output, nil
}

// ask sends the request, and once more without response_format to a server
// that refuses this field: OpenAI's newer models do.
func (a *imagesAPI) ask(ctx context.Context, request imagesRequest) (imagesAnswer, error) {
	if _, refuses := a.refusing.Load(request.Model); !refuses {
		request.ResponseFormat = "b64_json"
	}
	answer, err := a.post(ctx, request)
	if request.ResponseFormat == "" || !refusesFormat(err) {
		return answer, err
	}
	request.ResponseFormat = ""
	answer, err = a.post(ctx, request)
	if err == nil {
		a.refusing.Store(request.Model, true)
	}
	return answer, err
}

func refusesFormat(err error) bool {
	var upstream *outbound.Upstream
	if !fault.Is(err, fault.Invalid) || !errors.As(err, &upstream) {
		return false
	}
	unnamed := upstream.Param == "" && (upstream.Code == "unknown_parameter" || upstream.Code == "unsupported_parameter")
	return upstream.Param == "response_format" || unnamed
}

func (a *imagesAPI) post(ctx context.Context, body imagesRequest) (imagesAnswer, error) {
	response, err := a.caller.postJSON(ctx, a.base+"/images/generations", body)
	if err != nil {
		return imagesAnswer{}, err
	}
	data, err := a.caller.client.ReadAll(response)
	if err != nil {
		return imagesAnswer{}, err
	}
	var answer imagesAnswer
	if err := json.Unmarshal(data, &answer); err != nil {
		return imagesAnswer{}, badAnswer(errNotJSON, a.name, "provider_bad_answer", "answered with something that is not the expected JSON")
	}
	return answer, nil
}

// errNotJSON stands for the decoder's error, which quotes what it read.
var errNotJSON = errors.New("the answer is not the expected JSON")

// bytesOf returns the picture that came as base64, as a data URL, or behind a
// link, which is followed at once because such links expire.
func (a *imagesAPI) bytesOf(ctx context.Context, encoded, link string) ([]byte, error) {
	if encoded == "" && !strings.HasPrefix(link, "data:") {
		if link == "" {
			return nil, badAnswer(nil, a.name, "provider_no_picture", "answered without a picture")
		}
		return a.downloads.fetch(ctx, link)
	}
	if encoded == "" {
		encoded = link
	}
	return decodePicture(a.name, encoded)
}

// decodePicture reads base64, also in a data URL.
func decodePicture(provider, encoded string) ([]byte, error) {
	if strings.HasPrefix(encoded, "data:") {
		_, encoded, _ = strings.Cut(encoded, ",")
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, badAnswer(err, provider, "provider_bad_answer", "sent a picture that is not valid base64")
	}
	return data, nil
}

// promptInWords puts the style and the negative prompt, for which the protocol
// has no fields, into the prompt.
func promptInWords(task Task) string {
	prompt := task.Prompt
	if task.Style != "" {
		prompt += "\n\nStyle: " + task.Style
	}
	if task.NegativePrompt != "" {
		prompt += "\n\nAvoid: " + task.NegativePrompt
	}
	return prompt
}

// clip bounds what a provider says about itself.
func clip(text string) string {
	const limit = 8000
	return strings.ToValidUTF8(text[:min(len(text), limit)], "")
}
