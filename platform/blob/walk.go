package blob

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"llmhist/platform/fault"
)

// walkPage is how many objects are listed at a time where a store lists pages.
const walkPage = 1000

// Walk visits every object whose key starts with prefix, "" or one that ends in
// a slash, in key order and without hashes. An object that comes or goes
// meanwhile may be visited or not. It ends with the first error of visit.
func Walk(ctx context.Context, b Bucket, prefix string, visit func(Object) error) error {
	if reading, ok := b.(readOnly); ok {
		b = reading.Bucket
	}
	if d, ok := b.(*Directory); ok {
		return d.visitAll(ctx, prefix, visit)
	}
	after := ""
	for {
		page, err := b.List(ctx, prefix, after, walkPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, object := range page {
			if err := visit(object); err != nil {
				return err
			}
		}
		after = page[len(page)-1].Key
	}
}

// visitAll walks the directory once, where List would begin anew for each page.
func (d *Directory) visitAll(ctx context.Context, prefix string, visit func(Object) error) error {
	if prefix != "" && !ValidKey(strings.TrimSuffix(prefix, "/")) {
		return checkKey(prefix)
	}
	var stopped error
	err := d.walk(ctx, d.path(strings.TrimSuffix(prefix, "/")), func(key string, entry fs.DirEntry) error {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		stopped = visit(objectOf(key, info))
		return stopped
	})
	if stopped != nil {
		return stopped
	}
	if errors.Is(err, fs.ErrNotExist) { // nothing under this prefix, unless the store itself is gone
		_, err = os.Stat(d.root)
	}
	return storeFault(err)
}

// AttachDirectory opens the bucket called name below root as it is: it creates
// nothing and leaves temporary files alone, so that it works beside a serving
// process. Its links cannot be signed. Only the holder of the data directory's
// lock may write to it.
func AttachDirectory(root, name string) *Directory {
	return newDirectory(root, name, nil)
}

// Temporary lists the temporary files of writes that are under way or were
// interrupted, by their names. Stores other than a directory have none.
func Temporary(b Bucket) ([]Object, error) {
	d, ok := directoryOf(b)
	if !ok {
		return nil, nil
	}
	entries, err := os.ReadDir(d.temp)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, storeFault(err)
	}
	list := []Object{}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is in its place by now
		}
		if err != nil {
			return nil, storeFault(err)
		}
		list = append(list, Object{Key: entry.Name(), Size: info.Size(), ModifiedAt: info.ModTime().UTC()})
	}
	return list, nil
}

// RemoveTemporary removes one temporary file. Nobody may be writing it.
func RemoveTemporary(b Bucket, name string) error {
	d, ok := directoryOf(b)
	if !ok || filepath.Base(name) != name {
		return nil
	}
	if err := os.Remove(filepath.Join(d.temp, name)); !errors.Is(err, fs.ErrNotExist) {
		return storeFault(err)
	}
	return nil
}

func directoryOf(b Bucket) (*Directory, bool) {
	if reading, ok := b.(readOnly); ok {
		b = reading.Bucket
	}
	d, ok := b.(*Directory)
	return d, ok
}

// ReadOnly returns the bucket without the right to change it.
func ReadOnly(b Bucket) Bucket { return readOnly{b} }

type readOnly struct{ Bucket }

func refuseWrite() error {
	return fault.New(fault.Internal, "read_only", "This must not change any object.")
}

func (readOnly) Put(context.Context, string, io.Reader, PutOptions) (Object, error) {
	return Object{}, refuseWrite()
}
func (readOnly) Delete(context.Context, string) error             { return refuseWrite() }
func (readOnly) AppendLine(context.Context, string, []byte) error { return refuseWrite() }
func (readOnly) RemoveLines(context.Context, string, func([]byte) bool) error {
	return refuseWrite()
}
