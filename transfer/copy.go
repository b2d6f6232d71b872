package transfer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"llmhist/platform/archive"
	"llmhist/platform/database"
	"llmhist/platform/uid"
)

// CopyParams says what to copy and where to. Nobody serves from either side.
type CopyParams struct {
	From, To Engines
	Command  string // that repeats this copy
	Scratch  string // empty directory for temporary files; takes all rows
	Progress *Progress
}

const installationKey = "id"

// Copy fills empty engines with everything that others hold. It can be repeated
// after whatever stopped it; objects that are there already are not sent again.
// In the end it reads both sides again and compares them. Objects that the
// source itself misses are in the result.
func Copy(ctx context.Context, p CopyParams) (Result, error) {
	ctx = unhurried(ctx)
	if err := quiet(ctx, p.From.DB); err != nil {
		return Result{}, err
	}
	id, err := claimValue(ctx, p.From.DB, installationKey, uid.New(time.Now()))
	if err != nil {
		return Result{}, err
	}
	t, done, err := begin(ctx, p.To, "copy of "+id, p.Command, p.Progress)
	if err != nil {
		return Result{}, err
	}
	if done { // but the source may have changed since
		if err := t.remark(ctx); err != nil {
			return Result{}, err
		}
	}
	stage := archive.NewStage(p.Scratch)
	defer stage.Close()
	x := &objectExport{from: p.From, stage: stage, dir: p.Scratch, progress: p.Progress, to: sink{
		put: t.put,
		list: func(object archive.Object, _ *archive.Content) error {
			return stage.Write(archive.ObjectStream, object)
		},
	}}
	if err := x.exportAll(ctx); err != nil {
		return Result{}, err
	}
	m, err := manifestOf(stage, p.From, x.missing)
	if err != nil {
		return Result{}, err
	}
	if err := t.importRows(ctx, staged(stage)); err != nil {
		return Result{}, err
	}
	list := func() (*archive.Lines, error) { return stage.Lines(archive.ObjectStream) }
	if err := t.compare(ctx, m, list); err != nil {
		return Result{}, err
	}
	if err := sourceIsAsBefore(ctx, p.From, m); err != nil {
		return Result{}, err
	}
	return Result{Manifest: m}, t.finish(ctx)
}

// quiet is an error when somebody serves from db, or fills it.
func quiet(ctx context.Context, db *database.DB) error {
	serving, err := countServing(ctx, db)
	if err != nil {
		return err
	}
	if serving > 0 {
		return fmt.Errorf("%d servers serve from the source's database: stop them first", serving)
	}
	return Unfinished(ctx, db)
}

func manifestOf(stage *archive.Stage, from Engines, missing archive.Missing) (archive.Manifest, error) {
	m := archive.Manifest{Format: archive.Format, Product: "llmhist", Engines: from.kinds(), Missing: missing}
	for _, name := range streams() {
		sum, err := stage.Finish(name)
		if err != nil {
			return m, err
		}
		m.Streams = append(m.Streams, sum)
	}
	list, err := stage.Finish(archive.ObjectStream)
	m.Objects.List, m.Objects.Count = list, list.Rows
	return m, err
}

// staged gives the rows of a stage.
func staged(stage *archive.Stage) rowSource {
	return func(_ context.Context, want []string, visit func(string, *archive.Lines) error) error {
		for _, name := range streams() {
			if !slices.Contains(want, name) {
				continue
			}
			lines, err := stage.Lines(name)
			if err != nil {
				return err
			}
			err = visit(name, lines)
			_ = lines.Close()
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// sourceIsAsBefore exports the source once more: somebody who wrote to it
// meanwhile would otherwise lose that.
func sourceIsAsBefore(ctx context.Context, from Engines, m archive.Manifest) error {
	sums := archive.NewSums()
	if err := from.exportRows(ctx, sums, nil, false); err != nil {
		return err
	}
	for _, name := range streams() {
		if sums.Stream(name) != m.Stream(name) {
			return fmt.Errorf("the source changed while it was copied (%s): stop everything that writes to it and run the copy again", name)
		}
	}
	return nil
}
