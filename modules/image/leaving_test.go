package image

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"llmhist/platform/fault"
	"llmhist/platform/history"
	"llmhist/platform/identity"
)

func TestAClientThatLeavesCancelsTheImage(t *testing.T) {
	called := make(chan struct{})
	u := serveUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		close(called)
		<-r.Context().Done()
	})
	f := start(t, u.as(typeOpenAI))
	ctx, leave := context.WithCancel(identity.With(t.Context(), identity.Identity{UserID: 1}))
	go func() {
		<-called
		leave()
	}()
	_, err := f.module.service.Generate(ctx, Params{Prompt: "x"})
	var known *fault.Error
	if !errors.As(err, &known) || known.Kind != fault.Cancelled {
		t.Fatalf("got %v", err)
	}
	id, _ := known.Extra["id"].(string)
	if record, row := f.record(id), f.row(id); record.Status != StatusCancelled || row.Status != StatusCancelled || record.Error.Code != "cancelled" {
		t.Errorf("%+v\n%+v", record, row)
	}
	if lines := f.lines("users/1/"); len(lines) != 1 {
		t.Errorf("lines %v", lines)
	}
}

// leaving is a provider whose client goes away when the picture is there.
type leaving struct {
	provider
	leave context.CancelFunc
}

func (l leaving) generate(ctx context.Context, task Task) (Output, error) {
	defer l.leave()
	return l.provider.generate(ctx, task)
}

// departed is a repository whose client goes away when the row is there.
type departed struct {
	repository
	leave context.CancelFunc
}

func (d departed) Create(ctx context.Context, image Image) error {
	defer d.leave()
	return d.repository.Create(ctx, image)
}

func TestAClientThatLeavesAtOnceLeavesItsParameters(t *testing.T) {
	f := start(t, Config{})
	ctx, leave := context.WithCancel(identity.With(t.Context(), identity.Identity{UserID: 1}))
	f.module.service.repository = departed{f.module.service.repository, leave}
	_, err := f.module.service.Generate(ctx, Params{Prompt: "a red fox"})
	var known *fault.Error
	if !errors.As(err, &known) || known.Kind != fault.Cancelled {
		t.Fatalf("got %v", err)
	}
	id, _ := known.Extra["id"].(string)
	if input := string(f.read(history.InputKey(id))); f.row(id).Status != StatusCancelled || !strings.Contains(input, "a red fox") {
		t.Errorf("%+v, input %s", f.row(id), input)
	}
}

func TestAClientThatLeavesAfterThePictureIsThereLosesNothing(t *testing.T) {
	f := start(t, Config{})
	ctx, leave := context.WithCancel(identity.With(t.Context(), identity.Identity{UserID: 1}))
	made := f.module.service.router.models
	made[0].provider = leaving{made[0].provider, leave}
	image, err := f.module.service.Generate(ctx, Params{Prompt: "x", Size: "64x64"})
	if err != nil || ctx.Err() == nil {
		t.Fatalf("%v, left: %v", err, ctx.Err())
	}
	if row := f.row(image.ID); row.Status != StatusCompleted || f.record(image.ID).Status != StatusCompleted || len(f.read(image.Key)) == 0 {
		t.Errorf("%+v", row)
	}
}
