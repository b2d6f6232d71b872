package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// verify reads the whole set and compares it with its manifest.
func (r *Reader) verify(ctx context.Context) error {
	check := &verifier{streams: map[string]Stream{}, list: newTally()}
	var err error
	if r.tree {
		err = r.verifyTree(ctx, check)
	} else {
		err = r.scan(ctx, check.entry)
	}
	if err != nil {
		return err
	}
	if check.manifest == nil {
		return errors.New("it has no manifest.json: it was interrupted before it was whole, or cut off")
	}
	if r.Manifest, err = parseManifest(check.manifest); err != nil {
		return err
	}
	return check.compare(r.Manifest)
}

// verifier collects what a set really holds.
type verifier struct {
	manifest []byte
	streams  map[string]Stream
	keys     []Object
	list     *tally // of the lines that objects.jsonl must have
	last     Object
	objects  int64
	bytes    int64
}

// verifyTree reads the manifest, and then the files it names.
func (r *Reader) verifyTree(ctx context.Context, check *verifier) error {
	read := func(name string) error {
		return r.withFile(name, func(file *os.File) error {
			return check.entry(name, -1, withContext(ctx, file))
		})
	}
	root, err := os.OpenRoot(r.path)
	if err != nil {
		return err
	}
	_, err = root.Lstat(manifestName)
	_ = root.Close()
	if err != nil {
		return nil // compare says so
	}
	if err := read(manifestName); err != nil {
		return err
	}
	m, err := parseManifest(check.manifest)
	if err != nil {
		return err
	}
	for _, stream := range append(m.Streams, Stream{Name: ObjectStream}) {
		if streamOf(pathOf(stream.Name)) != stream.Name {
			return fmt.Errorf("its manifest names a stream %.80q", stream.Name)
		}
		if err := read(pathOf(stream.Name)); err != nil {
			return err
		}
	}
	for _, key := range m.Keys {
		if keyAt("keys/"+key.Key) != key.Key {
			return fmt.Errorf("its manifest names a key %.80q", key.Key)
		}
		if err := read("keys/" + key.Key); err != nil {
			return err
		}
	}
	return r.eachListed(ctx, func(want Object, content io.Reader) error {
		if err := check.object(Object{Bucket: want.Bucket, Key: want.Key}, content); err != nil {
			return err
		}
		if check.last != want {
			return fmt.Errorf("%s is damaged: it is not what %s says", want.path(), listName)
		}
		return nil
	})
}

// entry takes one file of the set, whose kind its name tells.
func (v *verifier) entry(name string, _ int64, content io.Reader) (err error) {
	if v.manifest != nil && name == manifestName {
		return errors.New("it has two manifests")
	}
	if name == manifestName {
		v.manifest, err = io.ReadAll(io.LimitReader(content, maxManifest+1))
		return err
	}
	if object, ok := objectAt(name); ok {
		return v.object(object, content)
	}
	if stream := streamOf(name); stream != "" {
		if _, twice := v.streams[stream]; twice {
			return fmt.Errorf("it has %s twice", name)
		}
		sum := newTally()
		if _, err := io.Copy(sum, content); err != nil {
			return err
		}
		v.streams[stream] = sum.stream(stream)
		return nil
	}
	size, sum, err := Hash(content)
	v.keys = append(v.keys, Object{Key: keyAt(name), Size: size, SHA256: sum})
	return err
}

func (v *verifier) object(object Object, content io.Reader) (err error) {
	if v.objects > 0 && !v.last.Before(object) {
		return fmt.Errorf("its objects are not in order at %s", object.path())
	}
	if object.Size, object.SHA256, err = Hash(content); err != nil {
		return err
	}
	data, err := line(object)
	if err != nil {
		return err
	}
	_, _ = v.list.Write(data)
	v.last = object
	v.objects++
	v.bytes += object.Size
	return nil
}

// Hash reads content to its end and returns its size and its SHA-256 in hex.
func Hash(content io.Reader) (size int64, sum string, err error) {
	hash := sha256.New()
	size, err = io.Copy(hash, content)
	return size, hex.EncodeToString(hash.Sum(nil)), err
}

// compare says what is wrong with the set, the most telling first.
func (v *verifier) compare(m Manifest) error {
	for _, want := range append(m.Streams, m.Objects.List) {
		found, there := v.streams[want.Name]
		switch {
		case !there:
			return fmt.Errorf("%s is missing", pathOf(want.Name))
		case found != want:
			return fmt.Errorf("%s is damaged: it has %d rows and %d bytes, and the manifest says %d and %d, or its hash differs",
				pathOf(want.Name), found.Rows, found.Bytes, want.Rows, want.Bytes)
		}
	}
	if len(v.streams) != len(m.Streams)+1 {
		return errors.New("it holds streams that its manifest does not name")
	}
	if v.objects != m.Objects.Count || v.bytes != m.Objects.Bytes {
		return fmt.Errorf("it holds %d objects of %d bytes, and its manifest says %d of %d", v.objects, v.bytes, m.Objects.Count, m.Objects.Bytes)
	}
	if v.list.stream(ObjectStream) != m.Objects.List {
		return errors.New("at least one of its objects is damaged: it is not what objects.jsonl says")
	}
	if len(v.keys) != len(m.Keys) {
		return errors.New("it does not hold the keys that its manifest names")
	}
	for i, key := range m.Keys {
		if v.keys[i] != key {
			return fmt.Errorf("keys/%s is damaged", key.Key)
		}
	}
	return nil
}
