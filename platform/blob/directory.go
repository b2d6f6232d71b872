package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"

	"llmhist/platform/fault"
)

// Directory is a Bucket in a directory of the local file system. Every write is
// made in a temporary file, synced, renamed into place, and its directory entry
// synced: after a power cut an object is there whole or not at all.
type Directory struct {
	name   string
	root   string
	temp   string
	signer *Signer

	seed  maphash.Seed
	lines [64]sync.Mutex // changes of the lines of one object take turns
	dirs  [64]sync.Mutex // whoever needs a directory waits until it is durable
	prune sync.RWMutex   // held by all who put a file in place, alone by one who removes empty directories

	filling bool // see FillDirectory
}

// OpenDirectory opens or creates the bucket called name below root and removes
// what an interrupted process left in its temporary directory. The caller holds
// the data directory's lock.
func OpenDirectory(root, name string, signer *Signer) (*Directory, error) {
	if !ValidKey(name) || strings.Contains(name, "/") {
		return nil, errors.New("bucket name " + name + " is not valid: use letters, digits, '.', '_' and '-'")
	}
	d := newDirectory(root, name, signer)
	if err := os.RemoveAll(d.temp); err != nil {
		return nil, err
	}
	if err := d.makeDurableDir(d.temp); err != nil {
		return nil, err
	}
	return d, nil
}

// FillDirectory is OpenDirectory for one who puts very many objects into an empty
// bucket and can begin again: what it puts is durable when Flush returns, and
// after a power cut before that can be there with a wrong content.
func FillDirectory(root, name string) (*Directory, error) {
	d, err := OpenDirectory(root, name, nil)
	if err == nil {
		d.filling = true
	}
	return d, err
}

// Flush makes everything durable that was put into a bucket of FillDirectory.
func (d *Directory) Flush() error { return storeFault(syncTree(d.root)) }

func newDirectory(root, name string, signer *Signer) *Directory {
	d := &Directory{name: name, root: filepath.Join(root, name), signer: signer, seed: maphash.MakeSeed()}
	d.temp = filepath.Join(d.root, ".tmp")
	return d
}

// Name returns the bucket's name.
func (d *Directory) Name() string { return d.name }

// Put stores an object; see Bucket.
func (d *Directory) Put(ctx context.Context, key string, body io.Reader, options PutOptions) (Object, error) {
	if err := checkKey(key); err != nil {
		return Object{}, err
	}
	if err := ctx.Err(); err != nil {
		return Object{}, err
	}
	file, err := os.CreateTemp(d.temp, "put-*")
	if err != nil {
		return Object{}, storeFault(err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // gone already when the rename succeeded
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(file, sum), limited(contextReader{ctx, body}, options.MaxBytes))
	if err == nil && options.MaxBytes > 0 && size > options.MaxBytes {
		err = fault.New(fault.TooLarge, "object_too_large", "The content is larger than this store accepts.")
	}
	hash := hex.EncodeToString(sum.Sum(nil))
	if err == nil {
		storeHash(file, hash)
		if !d.filling {
			err = file.Sync()
		}
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return Object{}, diskFault(err)
	}
	if err := d.place(file.Name(), d.path(key), options.IfAbsent); err != nil {
		return Object{}, err
	}
	object, err := d.Stat(ctx, key)
	object.SHA256 = hash
	return object, err
}

// place makes the finished file visible under its name, durably.
func (d *Directory) place(from, to string, ifAbsent bool) error {
	move := os.Rename
	if ifAbsent {
		move = os.Link
	}
	d.prune.RLock() // no Delete takes the directory before the file is in it
	err := d.makeDurableDir(filepath.Dir(to))
	if err == nil {
		err = move(from, to)
	}
	d.prune.RUnlock()
	if ifAbsent && errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Conflict, "object_exists", "An object of this name exists already.")
	}
	if err == nil && !d.filling {
		err = syncDir(filepath.Dir(to))
	}
	return storeFault(err)
}

type directoryReader struct {
	*os.File
	object Object
}

func (r directoryReader) Object() Object { return r.object }

// Open opens an object; see Bucket.
func (d *Directory) Open(ctx context.Context, key string) (Reader, error) {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return nil, err
	}
	file, err := os.Open(d.path(key))
	if err != nil {
		return nil, diskFault(err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = file.Close()
		return nil, diskFault(err)
	}
	object := objectOf(key, info)
	object.SHA256 = storedHash(file)
	return directoryReader{file, object}, nil
}

// Stat describes an object; see Bucket.
func (d *Directory) Stat(ctx context.Context, key string) (Object, error) {
	reader, err := d.Open(ctx, key) // one file for the size and the hash
	if err != nil {
		return Object{}, err
	}
	return reader.Object(), diskFault(reader.Close())
}

// Delete removes an object and the directories that it leaves empty.
func (d *Directory) Delete(ctx context.Context, key string) error {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return err
	}
	target := d.path(key)
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		return nil // where other objects are
	}
	switch err := os.Remove(target); {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil
	case err != nil:
		return diskFault(err)
	}
	if err := syncDir(filepath.Dir(target)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskFault(err)
	}
	// Only the request's own directories: those of a day are shared with
	// writers that have just made sure that they exist.
	if strings.HasPrefix(key, "requests/") && strings.Count(key, "/") > 4 {
		d.removeEmpty(filepath.Dir(target))
	}
	return nil
}

// removeEmpty removes dir and those above it, below the directory of the day,
// as far as they are empty.
func (d *Directory) removeEmpty(dir string) {
	d.prune.Lock()
	defer d.prune.Unlock()
	for ; strings.Count(dir[len(d.root):], string(filepath.Separator)) > 4; dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			return // not empty
		}
	}
}

// List returns objects in key order; see Bucket.
func (d *Directory) List(ctx context.Context, prefix, after string, limit int) ([]Object, error) {
	if prefix != "" && !ValidKey(strings.TrimSuffix(prefix, "/")) {
		return nil, checkKey(prefix)
	}
	start := d.root
	if cut := strings.LastIndexByte(prefix, '/'); cut >= 0 {
		start = d.path(prefix[:cut])
	}
	list := []Object{}
	err := d.walk(ctx, start, func(key string, entry fs.DirEntry) error {
		if !strings.HasPrefix(key, prefix) || key <= after {
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		list = append(list, objectOf(key, info))
		if len(list) == limit {
			return fs.SkipAll
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) { // nothing under this prefix, unless the store itself is gone
		_, err = os.Stat(d.root)
	}
	if err != nil && !errors.Is(err, fs.SkipAll) {
		return nil, storeFault(err)
	}
	return list, nil
}

// walk visits files in key order: entries sort as their keys do, a directory
// as if its name ended in a slash.
func (d *Directory) walk(ctx context.Context, dir string, visit func(string, fs.DirEntry) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	sortKey := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	sort.Slice(entries, func(i, j int) bool { return sortKey(entries[i]) < sortKey(entries[j]) })
	for _, entry := range entries {
		full := filepath.Join(dir, entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), "."):
			continue
		case entry.IsDir():
			err = d.walk(ctx, full, visit)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		default:
			relative, _ := filepath.Rel(d.root, full)
			err = visit(filepath.ToSlash(relative), entry)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// SignedURL signs a link to the object; see Bucket.
func (d *Directory) SignedURL(_ context.Context, key string) (SignedURL, error) {
	if err := checkKey(key); err != nil {
		return SignedURL{}, err
	}
	return d.signer.Sign(d.name, key), nil
}

func (d *Directory) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

func objectOf(key string, info fs.FileInfo) Object {
	return Object{Key: key, Size: info.Size(), ContentType: contentTypeOf(key), ModifiedAt: info.ModTime().UTC()}
}

func limited(r io.Reader, limit int64) io.Reader {
	if limit <= 0 {
		return r
	}
	return io.LimitReader(r, limit+1)
}

type contextReader struct {
	ctx    context.Context
	source io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.source.Read(p)
}

// makeDurableDir creates dir and syncs the parent of each directory it made. A
// directory that another caller is making counts only when it is durable.
func (d *Directory) makeDurableDir(dir string) error {
	if d.filling {
		return os.MkdirAll(dir, 0o700)
	}
	if parent := filepath.Dir(dir); parent != dir {
		if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
			if err := d.makeDurableDir(parent); err != nil {
				return err
			}
		}
	}
	turn := &d.dirs[maphash.String(d.seed, dir)%uint64(len(d.dirs))]
	turn.Lock()
	defer turn.Unlock()
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return errors.Join(err, os.Remove(dir)) // nobody may find it and believe it durable
	}
	return nil
}

func syncDir(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = handle.Sync()
	return errors.Join(err, handle.Close())
}

// storeFault gives the error of a write its kind: that something is missing is
// then a fault of the store, not an absent object.
func storeFault(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(err, fault.Unavailable, "storage_unavailable", storageUnavailable)
	}
	return diskFault(err)
}

const storageUnavailable = "The data directory cannot be used right now. Try again shortly."

// diskFault gives a file system error its kind. It keeps the path out of the
// answer; the cause is for the log.
func diskFault(err error) error {
	var known *fault.Error
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fault.Wrap(err, fault.NotFound, "not_found", "There is no such object.")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(err, fault.OutOfSpace, "storage_full", "The data directory has no space left. Free some disk space and try again.")
	default:
		return fault.Wrap(err, fault.Unavailable, "storage_unavailable", storageUnavailable)
	}
}
