package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"llmhist/platform/archive"
	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/fault"
)

// target is an installation that is being filled.
type target struct {
	engines  Engines
	mark     marker
	resumed  bool // something may be there from an earlier attempt
	imported *archive.Sums
	progress *Progress
}

// rowSource gives the rows of the streams that want names, stream by stream in
// an order in which they can be imported.
type rowSource func(ctx context.Context, want []string, visit func(stream string, lines *archive.Lines) error) error

// begin marks the target. Unless an earlier attempt of the same transfer marked
// it, it must be empty, and a target that is refused is left as it was. done means
// that only the markers are left of an earlier attempt.
func begin(ctx context.Context, engines Engines, set, command string, progress *Progress) (t *target, done bool, err error) {
	if err := refuseServed(ctx, engines.DB); err != nil {
		return nil, false, err
	}
	t = &target{engines: engines, progress: progress}
	t.mark = marker{Set: set, Command: command, Phase: phaseFilling, BegunAt: time.Now().UTC().Truncate(time.Second)}
	found, err := findMarker(ctx, engines.DB)
	switch {
	case err != nil:
		return nil, false, err
	case found == nil:
		err = engines.refuseFull(ctx, "the SQL database", "", engines.inSQL(engines.DB, everybody))
	case found.Set != set:
		err = fmt.Errorf("another transfer into this target, begun %s, %w: complete it (%s), or empty the target",
			found.BegunAt.Format(time.RFC3339), ErrUnfinished, found.Command)
	case found.Phase == phaseCompared:
		return t, true, nil
	default:
		t.resumed = true
	}
	if err == nil {
		err = engines.checkStores(ctx, set)
	}
	if err == nil {
		err = t.markDatabase(ctx)
	}
	if err == nil {
		err = engines.markStores(ctx, set)
	}
	return t, false, err
}

// refuseServed is an error when somebody serves from the target's database.
func refuseServed(ctx context.Context, db *database.DB) error {
	serving, err := countServing(ctx, db)
	if err == nil && serving > 0 {
		err = fmt.Errorf("%d servers serve from the target's database: stop them first", serving)
	}
	return err
}

// markDatabase stores the marker and then looks for servers once more. One that
// starts makes itself known and then looks for the marker, so that of the two one
// sees the other.
func (t *target) markDatabase(ctx context.Context) error {
	if err := putValue(ctx, t.engines.DB, markerKey, t.mark.text()); err != nil {
		return err
	}
	err := refuseServed(ctx, t.engines.DB)
	if err != nil && !t.resumed {
		err = errors.Join(err, deleteValue(context.WithoutCancel(ctx), t.engines.DB, markerKey))
	}
	return err
}

// remark marks a target once more of which only the markers were left.
func (t *target) remark(ctx context.Context) error {
	t.resumed = true
	if err := t.engines.markStores(ctx, t.mark.Set); err != nil {
		return err
	}
	return putValue(ctx, t.engines.DB, markerKey, t.mark.text())
}

// put stores one object, unless it is there from an earlier attempt.
func (t *target) put(ctx context.Context, object archive.Object, content *archive.Content) error {
	bucket := t.engines.bucket(object.Bucket)
	if bucket == nil {
		return fmt.Errorf("there is no bucket for objects of %q", object.Bucket)
	}
	if !blob.ValidKey(object.Key) || object.Key == markerObject {
		return fmt.Errorf("%q is not the key of an object", object.Key)
	}
	if t.resumed {
		there, err := holds(ctx, bucket, object.Key, content)
		if err != nil {
			return err
		}
		if there {
			t.progress.skipped.Add(1)
			return nil
		}
	}
	source, err := content.Open()
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	stored, err := bucket.Put(ctx, object.Key, source, blob.PutOptions{})
	if err == nil && stored.SHA256 != content.SHA256 {
		err = fmt.Errorf("object %s changed while it was moved", object.Key)
	}
	return err
}

// holds reports whether the bucket has this content. In a directory it is read:
// a hash can be kept with a file whose content a power cut took.
func holds(ctx context.Context, bucket blob.Bucket, key string, content *archive.Content) (bool, error) {
	there, err := bucket.Stat(ctx, key)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil || there.Size != content.Size {
		return false, err
	}
	if _, directory := bucket.(*blob.Directory); !directory {
		return there.SHA256 == content.SHA256, nil
	}
	reader, err := bucket.Open(ctx, key)
	if err != nil {
		return false, err
	}
	defer func() { _ = reader.Close() }()
	_, sum, err := archive.Hash(reader)
	return sum == content.SHA256, err
}

// importRows stores the documents, and then all rows in one transaction, which
// comes after everything else is durable.
func (t *target) importRows(ctx context.Context, rows rowSource) error {
	t.progress.Begin("rows")
	if err := t.engines.flush(); err != nil {
		return err
	}
	t.imported = archive.NewSums()
	if err := t.importInto(ctx, t.engines.inDocuments(), rows); err != nil {
		return err
	}
	return t.engines.DB.WriteWhole(ctx, func(whole *database.DB) error {
		if err := t.importInto(ctx, t.engines.inSQL(whole, everybody), rows); err != nil {
			return err
		}
		t.mark.Phase = phaseImported
		return putValue(ctx, whole, markerKey, t.mark.text())
	})
}

func (t *target) importInto(ctx context.Context, keepers []keeper, rows rowSource) error {
	if len(keepers) == 0 {
		return nil
	}
	of := map[string]keeper{}
	for i := len(keepers) - 1; i >= 0; i-- {
		if err := keepers[i].Clear(ctx); err != nil {
			return err
		}
		for _, name := range keepers[i].Streams() {
			of[name] = keepers[i]
		}
	}
	err := rows(ctx, streamsOf(keepers), func(stream string, lines *archive.Lines) error {
		lines.Echo(t.imported)
		return of[stream].Import(ctx, stream, lines)
	})
	for _, one := range keepers {
		if err == nil {
			err = one.Complete(ctx)
		}
	}
	return err
}

// compare reads everything that the target has now and holds it against what was
// imported, the manifest and the list of objects. What an earlier attempt left
// and is not in the list is removed.
func (t *target) compare(ctx context.Context, m archive.Manifest, list func() (*archive.Lines, error)) error {
	t.progress.Begin("comparing")
	sums := archive.NewSums()
	if err := t.engines.exportTarget(ctx, sums); err != nil {
		return err
	}
	for _, name := range streams() {
		want := t.imported.Stream(name)
		if want.Rows != m.Stream(name).Rows {
			return fmt.Errorf("%d rows of %s were read instead of %d: the source changed while it was read", want.Rows, name, m.Stream(name).Rows)
		}
		if found := sums.Stream(name); found != want {
			return fmt.Errorf("the target differs from its source: %s has %d rows of %d bytes instead of %d of %d, or another hash. Run it again; if that does not help, empty the target first",
				name, found.Rows, found.Bytes, want.Rows, want.Bytes)
		}
	}
	if t.resumed {
		if err := t.removeOthers(ctx, list); err != nil {
			return err
		}
	}
	return t.compareObjects(ctx, list)
}

// compareObjects reads every object of the list from the target.
func (t *target) compareObjects(ctx context.Context, list func() (*archive.Lines, error)) error {
	lines, err := list()
	if err != nil {
		return err
	}
	defer func() { _ = lines.Close() }()
	produce := func(emit func(*parcel) error) error {
		for {
			var object archive.Object
			more, err := lines.Next(&object)
			if err != nil || !more {
				return err
			}
			if err := emit(&parcel{objects: []carried{{object, archive.BytesContent(nil)}}}); err != nil {
				return err
			}
		}
	}
	work := func(ctx context.Context, p *parcel) error {
		return again(ctx, func() error { return t.compareObject(ctx, p.objects[0].object) })
	}
	return convey(ctx, produce, work, func(*parcel) error { return nil })
}

func (t *target) compareObject(ctx context.Context, want archive.Object) error {
	reader, err := t.engines.bucket(want.Bucket).Open(ctx, want.Key)
	if err != nil {
		return fmt.Errorf("the target does not give %s/%s back: %w", want.Bucket, want.Key, err)
	}
	defer func() { _ = reader.Close() }()
	size, sum, err := archive.Hash(reader)
	if err == nil && (size != want.Size || sum != want.SHA256) {
		err = fmt.Errorf("the target differs from its source: %s/%s is another object", want.Bucket, want.Key)
	}
	return err
}

// removeOthers walks the list and the buckets, which have the same order, side
// by side.
func (t *target) removeOthers(ctx context.Context, list func() (*archive.Lines, error)) error {
	lines, err := list()
	if err != nil {
		return err
	}
	defer func() { _ = lines.Close() }()
	var next archive.Object
	more, err := lines.Next(&next)
	for _, one := range t.engines.stores() {
		after := ""
		for err == nil {
			var page []blob.Object
			if page, err = one.bucket.List(ctx, "", after, 1000); err != nil || len(page) == 0 {
				break
			}
			for _, there := range page {
				after = there.Key
				found := archive.Object{Bucket: one.name, Key: there.Key}
				for err == nil && more && next.Before(found) {
					more, err = lines.Next(&next)
				}
				known := more && next.Bucket == found.Bucket && next.Key == found.Key
				if err == nil && !known && there.Key != markerObject {
					err = one.bucket.Delete(ctx, there.Key)
				}
			}
		}
	}
	return err
}

// finish removes the markers, that of the SQL database last.
func (t *target) finish(ctx context.Context) error {
	t.mark.Phase = phaseCompared
	err := putValue(ctx, t.engines.DB, markerKey, t.mark.text())
	if err == nil {
		err = t.engines.endStores(ctx)
	}
	if err == nil {
		err = deleteValue(ctx, t.engines.DB, markerKey)
	}
	return err
}
