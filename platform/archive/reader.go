package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// Reader reads a set that was verified as a whole when it was opened.
type Reader struct {
	Manifest Manifest
	path     string
	tree     bool
	zipped   bool
}

// Open verifies every count and hash of the set at path, which takes as long as
// reading it, and refuses one that is interrupted, damaged, newer than this
// release, or holds anything that a set cannot hold.
func Open(ctx context.Context, path string) (*Reader, error) {
	r := &Reader{path: path}
	err := r.detect()
	if err == nil {
		err = r.verify(ctx)
	}
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("the backup %s cannot be used: %w", path, reason(err))
	}
	return r, err
}

// detect finds out what kind of set it is, whatever its name.
func (r *Reader) detect() error {
	info, err := os.Stat(r.path)
	if err != nil {
		return err
	}
	if r.tree = info.IsDir(); r.tree {
		return nil
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is neither a directory nor a file")
	}
	file, err := os.Open(r.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	var magic [2]byte
	if _, err := io.ReadFull(file, magic[:]); err != nil {
		return errors.New("it is too short: it was cut off, or is no backup")
	}
	r.zipped = magic == [2]byte{0x1f, 0x8b}
	return nil
}

// Objects visits every object in order. Content that is not read is skipped. In
// a tar file the hash of an object is not known before it was read.
func (r *Reader) Objects(ctx context.Context, visit func(object Object, content io.Reader) error) error {
	if r.tree {
		return r.eachListed(ctx, visit)
	}
	return r.scan(ctx, func(name string, size int64, content io.Reader) error {
		object, ok := objectAt(name)
		if !ok {
			return nil
		}
		object.Size = size
		return visit(object, content)
	})
}

// Rows visits the streams that want names, in the order in which they are
// stored. Of a stream that the set does not have it visits an empty one.
func (r *Reader) Rows(ctx context.Context, want []string, visit func(stream string, lines *Lines) error) error {
	for _, name := range want {
		if r.Manifest.Stream(name).SHA256 == "" {
			if err := visit(name, newLines(name, bytes.NewReader(nil))); err != nil {
				return err
			}
		}
	}
	if r.tree {
		return r.eachStream(ctx, want, visit)
	}
	return r.scan(ctx, func(name string, _ int64, content io.Reader) error {
		stream := streamOf(name)
		if stream == "" || !slices.Contains(want, stream) {
			return nil
		}
		return visit(stream, newLines(stream, withContext(ctx, content)))
	})
}

// Keys visits the secrets.
func (r *Reader) Keys(ctx context.Context, visit func(name string, data []byte) error) error {
	take := func(name string, content io.Reader) error {
		data, err := io.ReadAll(io.LimitReader(content, maxKeyFile))
		if err != nil {
			return err
		}
		return visit(name, data)
	}
	if !r.tree {
		return r.scan(ctx, func(name string, _ int64, content io.Reader) error {
			if key := keyAt(name); key != "" {
				return take(key, content)
			}
			return nil
		})
	}
	for _, key := range r.Manifest.Keys {
		if err := r.withFile("keys/"+key.Key, func(file *os.File) error { return take(key.Key, file) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) eachListed(ctx context.Context, visit func(Object, io.Reader) error) error {
	return r.withFile(listName, func(file *os.File) error {
		lines := newLines(ObjectStream, withContext(ctx, file))
		for {
			var object Object
			more, err := lines.Next(&object)
			if err != nil || !more {
				return err
			}
			if _, ok := objectAt(object.path()); !ok {
				return fmt.Errorf("line %d of %s is no object that a backup can hold", lines.number, listName)
			}
			err = r.withFile(object.path(), func(file *os.File) error { return visit(object, withContext(ctx, file)) })
			if err != nil {
				return err
			}
		}
	})
}

func (r *Reader) eachStream(ctx context.Context, want []string, visit func(string, *Lines) error) error {
	for _, stream := range r.Manifest.Streams {
		if !slices.Contains(want, stream.Name) {
			continue
		}
		err := r.withFile(pathOf(stream.Name), func(file *os.File) error {
			return visit(stream.Name, newLines(stream.Name, withContext(ctx, file)))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// withFile opens a regular file of a set that is a directory. No name and no
// link leads out of it.
func (r *Reader) withFile(name string, work func(file *os.File) error) error {
	root, err := os.OpenRoot(r.path)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing", name)
	}
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		return err
	}
	file, err := root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return work(file)
}

// scan visits every entry of a tar file and refuses entries that no set has.
func (r *Reader) scan(ctx context.Context, visit func(name string, size int64, content io.Reader) error) error {
	file, err := os.Open(r.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	var source io.Reader = file // the tar reader skips by seeking
	if r.zipped {
		zip, err := gzip.NewReader(bufio.NewReaderSize(withContext(ctx, file), 1<<20))
		if err != nil {
			return cmp.Or(ctx.Err(), errors.New("it is not a gzip file"))
		}
		source = zip
	}
	entries := tar.NewReader(source)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, source) // the compressed file's own sum is at its end
			return cutOff(err)
		}
		if err != nil {
			return cutOff(err)
		}
		if err := checkEntry(header); err != nil {
			return err
		}
		if err := visit(header.Name, header.Size, withContext(ctx, entries)); err != nil {
			return cutOff(err)
		}
	}
}

func cutOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) {
		return errors.New("it is damaged or was cut off")
	}
	return err
}

// checkEntry refuses what this package does not write: links, directories,
// devices, names that lead elsewhere, and sizes that cannot be.
func checkEntry(header *tar.Header) error {
	limit := int64(-1)
	name := header.Name
	_, isObject := objectAt(name)
	switch {
	case isObject:
		limit = maxObject
	case streamOf(name) != "":
		limit = 1 << 50 // read a line at a time
	case keyAt(name) != "":
		limit = maxKeyFile
	case name == manifestName:
		limit = maxManifest
	}
	if limit < 0 || header.Typeflag != tar.TypeReg {
		return fmt.Errorf("it holds %.80q, which no backup of llmhist does", name)
	}
	if header.Size < 0 || header.Size > limit {
		return fmt.Errorf("%.80q says it is %d bytes long, which cannot be", name, header.Size)
	}
	return nil
}

// endingReader ends with its context.
type endingReader struct {
	ctx    context.Context
	source io.Reader
}

func withContext(ctx context.Context, source io.Reader) io.Reader { return endingReader{ctx, source} }

func (r endingReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.source.Read(p)
}
