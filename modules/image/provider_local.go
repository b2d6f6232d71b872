package image

import (
	"context"

	"llmhist/platform/canvas"
	"llmhist/platform/picture"
)

// The embedded renderer's names.
const (
	localName  = "local"
	localModel = "local/canvas"
)

// local draws by procedure on this machine. It is no machine-learning model
// and says so wherever it is listed.
type local struct{ cores gate }

func (l *local) status() ProviderStatus {
	return ProviderStatus{
		Name: localName, Models: []string{localModel},
		Note: "draws by procedure, not a machine-learning model",
	}
}

func (l *local) models() []Model {
	return []Model{{
		ID: localModel,
		Description: "Draws by procedure on this machine: it looks for words it knows and lets the others vary the picture. " +
			"Not a machine-learning model. The same prompt, seed, size and style give the same picture.",
		Styles: canvas.Styles(),
		Seeds:  true,
	}}
}

// generate draws and encodes in one turn, so that no more pictures are in
// memory than there are cores.
func (l *local) generate(ctx context.Context, task Task) (Output, error) {
	if err := l.cores.enter(ctx); err != nil {
		return Output{}, err
	}
	defer l.cores.leave()
	drawn, err := canvas.Render(ctx, canvas.Params{
		Prompt: task.Prompt, NegativePrompt: task.NegativePrompt, Style: task.Style,
		Seed: task.Seed, Width: task.Size.Width, Height: task.Size.Height,
	})
	if err != nil {
		return Output{}, err
	}
	data, err := picture.Encode(ctx, drawn)
	if err != nil {
		return Output{}, err
	}
	seed := task.Seed
	return Output{
		Picture: picture.Picture{PNG: data, Width: task.Size.Width, Height: task.Size.Height, Source: pngType},
		Seed:    &seed,
	}, nil
}

func (l *local) close() {}
