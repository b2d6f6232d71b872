package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"llmhist/platform/archive"
)

// RestoreParams says what to restore and where to.
type RestoreParams struct {
	From     *archive.Reader
	To       Engines
	Schema   int64  // number of the last migration of this release
	Command  string // that repeats this restore
	Scratch  string // directory for temporary files
	Progress *Progress
	// Key takes the secrets of the backup, before anything is served from it.
	Key func(name string, data []byte) error
}

// CheckRestorable refuses a backup that a newer release made.
func CheckRestorable(m archive.Manifest, schema int64) error {
	if m.Product != "llmhist" {
		return fmt.Errorf("this is a backup of %.40q, not of llmhist", m.Product)
	}
	if m.Schema > schema {
		return fmt.Errorf("the backup was made by release %.40s with schema %d, and this release knows schemas up to %d: restore it with that release or a newer one",
			m.Version, m.Schema, schema)
	}
	return nil
}

// Restore fills empty engines with a verified backup. It can be repeated after
// whatever stopped it, until which nobody is served from the target. In the end
// it reads everything back and compares it.
func Restore(ctx context.Context, p RestoreParams) error {
	ctx = unhurried(ctx)
	if err := CheckRestorable(p.From.Manifest, p.Schema); err != nil {
		return err
	}
	t, done, err := begin(ctx, p.To, SetOf(p.From.Manifest), p.Command, p.Progress)
	if err != nil {
		return err
	}
	if done {
		return t.finish(ctx)
	}
	stage := archive.NewStage(p.Scratch)
	defer stage.Close()
	p.Progress.Begin("objects")
	if err := t.restoreObjects(ctx, p.From, stage, p.Scratch); err != nil {
		return err
	}
	if list, err := stage.Finish(archive.ObjectStream); err != nil || list != p.From.Manifest.Objects.List {
		return fmt.Errorf("the backup changed while it was read, or cannot be read any longer (%w)", orChanged(err))
	}
	if err := t.importRows(ctx, p.From.Rows); err != nil {
		return err
	}
	list := func() (*archive.Lines, error) { return stage.Lines(archive.ObjectStream) }
	if err := t.compare(ctx, p.From.Manifest, list); err != nil {
		return err
	}
	if err := p.From.Keys(ctx, p.Key); err != nil {
		return err
	}
	return t.finish(ctx)
}

func orChanged(err error) error {
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// SetOf returns what tells one backup from every other.
func SetOf(m archive.Manifest) string {
	data, err := json.Marshal(m)
	if err != nil { // a manifest always has JSON
		panic(err)
	}
	sum := sha256.Sum256(data)
	return "backup " + hex.EncodeToString(sum[:])
}

func (t *target) restoreObjects(ctx context.Context, from *archive.Reader, stage *archive.Stage, dir string) error {
	produce := func(emit func(*parcel) error) error {
		return from.Objects(ctx, func(object archive.Object, source io.Reader) error {
			content, err := archive.TakeContent(dir, source)
			if err != nil {
				return err
			}
			object.Size, object.SHA256 = content.Size, content.SHA256
			return emit(&parcel{objects: []carried{{object, content}}})
		})
	}
	work := func(ctx context.Context, p *parcel) error {
		return t.put(ctx, p.objects[0].object, p.objects[0].content)
	}
	finish := func(p *parcel) error {
		t.progress.objects.Add(1)
		t.progress.bytes.Add(p.objects[0].object.Size)
		return stage.Write(archive.ObjectStream, p.objects[0].object)
	}
	return convey(ctx, produce, work, finish)
}
