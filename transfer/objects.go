package transfer

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"llmhist/platform/archive"
	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/history"
	"llmhist/platform/uid"
)

// sink takes objects.
type sink struct {
	// put is called by several goroutines at once, in any order; nil = not.
	put func(ctx context.Context, object archive.Object, content *archive.Content) error
	// list is called for every object in order.
	list func(object archive.Object, content *archive.Content) error
}

// objectExport reads the objects of exported rows.
type objectExport struct {
	from     Engines
	stage    *archive.Stage // has the rows
	plan     *archive.Stage // has the requests in the order of the daily indexes
	dir      string         // for temporary files
	to       sink
	progress *Progress
	missing  archive.Missing

	besideServers bool // rows may be written meanwhile
}

// run moves every object that the rows have, and the daily indexes made from
// them. A row whose request was deleted since the snapshot leaves the stage.
func (x *objectExport) run(ctx context.Context) error {
	for i, one := range x.from.holders(x.from.DB) {
		if err := x.service(ctx, x.from.stores()[i], one); err != nil {
			return err
		}
	}
	return nil
}

func (x *objectExport) service(ctx context.Context, from store, rows holder) error {
	gone := map[string]bool{}
	produce := func(emit func(*parcel) error) error {
		return x.eachHeld(rows, func(held history.Held) error { return emit(&parcel{store: from.name, held: held}) })
	}
	work := func(ctx context.Context, p *parcel) error {
		if err := x.fetch(ctx, from, rows, p); err != nil || p.gone {
			return err
		}
		return x.deliver(ctx, p)
	}
	finish := func(p *parcel) error {
		if p.gone {
			gone[p.held.ID] = true
			return nil
		}
		for _, what := range p.missing {
			x.missing.Add(what)
		}
		return x.listAll(p)
	}
	if err := convey(ctx, produce, work, finish); err != nil {
		return err
	}
	if err := x.dropRows(rows, gone); err != nil {
		return err
	}
	return x.indexes(ctx, from, rows, gone)
}

func (x *objectExport) eachHeld(rows holder, visit func(history.Held) error) error {
	lines, err := x.stage.Lines(rows.HeldStream())
	if err != nil {
		return err
	}
	defer func() { _ = lines.Close() }()
	for {
		row, err := lines.Raw()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		held, err := rows.Held(row)
		if err == nil {
			err = visit(held)
		}
		if err != nil {
			return err
		}
	}
}

func (x *objectExport) dropRows(rows holder, gone map[string]bool) error {
	if len(gone) == 0 {
		return nil
	}
	return x.stage.Drop(rows.HeldStream(), func(row []byte) bool {
		held, err := rows.Held(row)
		return err == nil && gone[held.ID]
	})
}

// deliver hands the objects of a parcel to the sink.
func (x *objectExport) deliver(ctx context.Context, p *parcel) error {
	for _, one := range p.objects {
		if x.to.put == nil {
			break
		}
		if err := again(ctx, func() error { return x.to.put(ctx, one.object, one.content) }); err != nil {
			return err
		}
	}
	return nil
}

func (x *objectExport) listAll(p *parcel) error {
	for _, one := range p.objects {
		if err := x.to.list(one.object, one.content); err != nil {
			return err
		}
		x.progress.objects.Add(1)
		x.progress.bytes.Add(one.object.Size)
	}
	return nil
}

// wanted is an object that a row may have.
type wanted struct {
	key    string
	must   bool
	sha256 string // that its row says, "" = none
}

// fetch reads what belongs to a request: the record first, for a record implies
// its media, then the media, then the input.
func (x *objectExport) fetch(ctx context.Context, from store, rows holder, p *parcel) error {
	if !uid.Valid(p.held.ID) {
		p.missing = append(p.missing, from.name+": a row has an id that cannot have objects")
		return nil
	}
	list := []wanted{{key: history.RecordKey(p.held.ID), must: p.held.Settled}}
	switch {
	case p.held.Media != "":
		list = append(list, wanted{key: history.MediaKey(p.held.ID, p.held.Media), must: true, sha256: p.held.SHA256})
	case !p.held.Settled: // its record may tell of something by now
		for _, name := range p.held.Possible {
			list = append(list, wanted{key: history.MediaKey(p.held.ID, name)})
		}
	}
	list = append(list, wanted{key: history.InputKey(p.held.ID), must: p.held.Media != ""})
	absent := false
	for _, one := range list {
		found, err := x.take(ctx, from, p, one)
		if err != nil {
			return err
		}
		absent = absent || one.must && !found
	}
	slices.SortFunc(p.objects, func(a, b carried) int { return strings.Compare(a.object.Key, b.object.Key) })
	if !absent && p.held.Settled {
		return nil
	}
	exists, err := rows.Exists(ctx, p.held.ID)
	p.gone = !exists
	return err
}

// take reads one object into the parcel and reports whether it is there.
func (x *objectExport) take(ctx context.Context, from store, p *parcel, want wanted) (bool, error) {
	var content *archive.Content
	var stored string
	err := again(ctx, func() (err error) {
		content, stored, err = readObject(ctx, from.bucket, want.key, x.dir)
		return err
	})
	if fault.Is(err, fault.NotFound) {
		if want.must {
			p.missing = append(p.missing, from.name+"/"+want.key+" is missing")
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, sum := range []string{stored, want.sha256} {
		if sum != "" && sum != content.SHA256 {
			p.missing = append(p.missing, from.name+"/"+want.key+" is not what its hash says")
			break
		}
	}
	object := archive.Object{Bucket: from.name, Key: want.key, Size: content.Size, SHA256: content.SHA256}
	p.objects = append(p.objects, carried{object, content})
	return true, nil
}

// readObject reads a whole object and returns the hash that is stored with it.
func readObject(ctx context.Context, bucket blob.Bucket, key, dir string) (*archive.Content, string, error) {
	reader, err := bucket.Open(ctx, key)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = reader.Close() }()
	content, err := archive.TakeContent(dir, reader)
	return content, reader.Object().SHA256, err
}

// indexes makes the daily indexes of the rows that are left.
func (x *objectExport) indexes(ctx context.Context, from store, rows holder, gone map[string]bool) error {
	produce := func(emit func(*parcel) error) error {
		lines, err := x.plan.Lines(rows.Service())
		if err != nil {
			return err
		}
		defer func() { _ = lines.Close() }()
		return eachIndex(lines, rows.Service(), gone, func(key string, data []byte) error {
			content := archive.BytesContent(data)
			object := archive.Object{Bucket: from.name, Key: key, Size: content.Size, SHA256: content.SHA256}
			return emit(&parcel{store: from.name, objects: []carried{{object, content}}})
		})
	}
	return convey(ctx, produce, x.deliver, x.listAll)
}

// eachIndex puts together the lines of each daily index.
func eachIndex(lines *archive.Lines, service string, gone map[string]bool, visit func(key string, data []byte) error) error {
	key, data := "", []byte(nil)
	flush := func() error {
		if len(data) == 0 {
			return nil
		}
		return visit(key, data)
	}
	for {
		var owned ownedLine
		more, err := lines.Next(&owned)
		if err != nil {
			return err
		}
		if !more {
			return flush()
		}
		if gone[owned.ID] || !uid.Valid(owned.ID) {
			continue
		}
		at, _ := uid.Time(owned.ID)
		if day := history.IndexKeyOf(service, owned.Owner, at); day != key {
			if err := flush(); err != nil {
				return err
			}
			key, data = day, nil
		}
		line, err := history.IndexLine(owned.ID)
		if err != nil {
			return err
		}
		data = append(append(data, line...), '\n')
	}
}
