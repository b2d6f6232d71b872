package archive

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Writer makes a set under a temporary name beside its own. Finish gives it its
// name, Abort leaves nothing. It is used by one goroutine.
type Writer struct {
	path  string
	work  string // directory of everything that is unfinished
	tree  string // the set, when it is a directory
	lock  *os.File
	stage *Stage

	file   *os.File
	buffer *bufio.Writer
	zip    *gzip.Writer
	tar    *tar.Writer // nil for a directory

	keys    []Object
	bytes   int64 // of all objects
	objects int64
	last    Object
}

// Create begins a set at path: one tar file when the name ends in .tar, .tar.gz
// or .tgz, otherwise a directory. It refuses a path where something is.
func Create(path string) (*Writer, error) {
	path = filepath.Clean(path)
	if err := absent(path); err != nil {
		return nil, err
	}
	w := &Writer{path: path, work: path + ".partial"}
	if err := w.takeWork(); err != nil {
		return nil, err
	}
	w.tree = filepath.Join(w.work, "set")
	if err := os.MkdirAll(w.tree, 0o700); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	w.stage = NewStage(w.tree)
	if err := w.createTar(); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w, nil
}

func absent(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s exists already: name another place, or remove it first", path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s cannot be used: %w", path, reason(err))
	}
	return nil
}

// takeWork makes the directory of unfinished things. One that a killed process
// left is emptied; one that a living process holds is not touched.
func (w *Writer) takeWork() error {
	if err := os.Mkdir(w.work, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s cannot be created: %w", w.work, reason(err))
	}
	lock, err := os.Open(w.work)
	if err != nil {
		return fmt.Errorf("%s cannot be used: %w", w.work, reason(err))
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return fmt.Errorf("another process is writing %s", w.path)
	}
	w.lock = lock
	entries, err := os.ReadDir(w.work)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(w.work, entry.Name())))
	}
	return err
}

func (w *Writer) createTar() (err error) {
	zipped := strings.HasSuffix(w.path, ".tar.gz") || strings.HasSuffix(w.path, ".tgz")
	if !zipped && !strings.HasSuffix(w.path, ".tar") {
		return nil
	}
	if w.file, err = os.OpenFile(filepath.Join(w.work, "set.tar"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	w.buffer = bufio.NewWriterSize(w.file, 1<<20)
	var target io.Writer = w.buffer
	if zipped {
		if w.zip, err = gzip.NewWriterLevel(w.buffer, gzip.BestSpeed); err != nil { // media do not shrink
			return err
		}
		target = w.zip
	}
	w.tar = tar.NewWriter(target)
	return nil
}

// Stage returns where the rows of the set go.
func (w *Writer) Stage() *Stage { return w.stage }

// Dir returns a directory for temporary files, on the file system of the set.
func (w *Writer) Dir() string { return w.work }

// AddObject adds an object and its line. Objects come in their order.
func (w *Writer) AddObject(object Object, content *Content) error {
	if w.objects > 0 && !w.last.Before(object) {
		return fmt.Errorf("object %s comes out of order", object.path())
	}
	if _, ok := objectAt(object.path()); !ok {
		return fmt.Errorf("object %s has a name that no set can have", object.path())
	}
	object.Size, object.SHA256 = content.Size, content.SHA256
	if err := w.add(object.path(), content); err != nil {
		return err
	}
	w.last = object
	w.objects++
	w.bytes += object.Size
	return w.stage.Write(ObjectStream, object)
}

// AddKey adds a secret.
func (w *Writer) AddKey(name string, data []byte) error {
	content := BytesContent(data)
	w.keys = append(w.keys, Object{Key: name, Size: content.Size, SHA256: content.SHA256})
	return w.add("keys/"+name, content)
}

// add puts content into the set under name.
func (w *Writer) add(name string, content *Content) error {
	if w.tar == nil {
		return w.place(filepath.Join(w.tree, filepath.FromSlash(name)), content)
	}
	source, err := content.Open()
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	return w.append(name, content.Size, source)
}

func (w *Writer) place(target string, content *Content) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return err
	}
	if content.file == "" {
		return os.WriteFile(target, content.held, 0o600)
	}
	if err := os.Rename(content.file, target); err != nil {
		return err
	}
	content.file = "" // it is the set's now
	return nil
}

// epoch is the time of every entry, so that equal sets are equal files.
var epoch = time.Unix(0, 0).UTC()

func (w *Writer) append(name string, size int64, source io.Reader) error {
	header := tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: epoch}
	if err := w.tar.WriteHeader(&header); err != nil {
		return err
	}
	_, err := io.Copy(w.tar, source)
	return err
}

// Finish writes the streams, in this order, and the manifest, makes all of it
// durable and gives the set its name, with ".incomplete" at its end when
// something is missing. It returns that name and the whole manifest.
func (w *Writer) Finish(m Manifest, streams []string) (string, Manifest, error) {
	m.Format, m.Keys = Format, w.keys
	for _, name := range append(streams, ObjectStream) {
		sum, err := w.stage.Finish(name)
		if err == nil && w.tar != nil {
			err = w.appendFile(pathOf(name), sum.Bytes)
		}
		if err != nil {
			return "", m, err
		}
		if name == ObjectStream {
			m.Objects = Objects{Count: w.objects, Bytes: w.bytes, List: sum}
		} else {
			m.Streams = append(m.Streams, sum)
		}
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = w.add(manifestName, BytesContent(append(data, '\n')))
	}
	if err == nil {
		err = w.sync()
	}
	if err != nil {
		return "", m, err
	}
	name := w.path
	if m.Missing.Count > 0 {
		name += ".incomplete"
	}
	return name, m, w.publish(name)
}

func (w *Writer) appendFile(name string, size int64) error {
	path := filepath.Join(w.tree, filepath.FromSlash(name))
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(w.append(name, size, file), file.Close(), os.Remove(path))
}

// sync brings everything that was written to the disk.
func (w *Writer) sync() error {
	if w.tar == nil {
		return syncTree(w.tree)
	}
	err := w.tar.Close()
	if w.zip != nil {
		err = errors.Join(err, w.zip.Close())
	}
	return errors.Join(err, w.buffer.Flush(), w.file.Sync(), w.file.Close())
}

func (w *Writer) publish(name string) error {
	from := w.tree
	if w.tar != nil {
		from = filepath.Join(w.work, "set.tar")
	}
	if err := absent(name); err != nil {
		return err
	}
	if err := os.Rename(from, name); err != nil {
		return err
	}
	err := syncDir(filepath.Dir(name))
	return errors.Join(err, w.Abort())
}

// Abort removes what is unfinished.
func (w *Writer) Abort() error {
	if w.stage != nil {
		w.stage.Close()
	}
	if w.file != nil {
		_ = w.file.Close()
	}
	err := os.RemoveAll(w.work)
	return errors.Join(err, w.lock.Close())
}

func syncDir(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(handle.Sync(), handle.Close())
}

// reason drops the path that the operating system repeats in its errors.
func reason(err error) error {
	var inPath *fs.PathError
	if errors.As(err, &inPath) {
		return inPath.Err
	}
	return err
}
