package blob

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"llmhist/platform/fault"
)

// AppendLine adds a line to an object; see Bucket. A line that an earlier crash
// cut short was never acknowledged and is removed first.
func (d *Directory) AppendLine(ctx context.Context, key string, line []byte) error {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return err
	}
	if bytes.IndexByte(line, '\n') >= 0 {
		return fault.New(fault.Internal, "internal", "A line of a daily index must not contain a line break.")
	}
	defer d.takeTurn(key).Unlock()
	return diskFault(d.appendLine(d.path(key), append(bytes.Clone(line), '\n')))
}

func (d *Directory) appendLine(target string, line []byte) error {
	file, err := os.OpenFile(target, os.O_RDWR, 0o600)
	created := errors.Is(err, fs.ErrNotExist)
	if created {
		if err := makeDurableDir(filepath.Dir(target)); err != nil {
			return err
		}
		file, err = os.OpenFile(target, os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	end, err := endOfLastLine(file)
	if err != nil {
		return err
	}
	dropHash(file) // it is of the content before; the whole file is not read again
	if _, err := file.WriteAt(line, end); err != nil {
		return errors.Join(err, file.Truncate(end))
	}
	if err := file.Truncate(end + int64(len(line))); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if created {
		return syncDir(filepath.Dir(target))
	}
	return nil
}

// endOfLastLine returns the offset just after the last newline.
func endOfLastLine(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	end := info.Size()
	buffer := make([]byte, 4096)
	for end > 0 {
		from := max(0, end-int64(len(buffer)))
		piece := buffer[:end-from]
		if _, err := file.ReadAt(piece, from); err != nil {
			return 0, err
		}
		if at := bytes.LastIndexByte(piece, '\n'); at >= 0 {
			return from + int64(at) + 1, nil
		}
		end = from
	}
	return 0, nil
}

// RemoveLines rewrites an object without some of its lines; see Bucket.
func (d *Directory) RemoveLines(ctx context.Context, key string, drop func(line []byte) bool) error {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return err
	}
	defer d.takeTurn(key).Unlock()
	before, err := os.ReadFile(d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return diskFault(err)
	}
	after := make([]byte, 0, len(before))
	for line := range bytes.Lines(before) {
		if !drop(bytes.TrimSuffix(line, []byte("\n"))) {
			after = append(after, line...)
		}
	}
	if len(after) == len(before) {
		return nil
	}
	if len(after) == 0 {
		return d.Delete(ctx, key)
	}
	_, err = d.Put(ctx, key, bytes.NewReader(after), PutOptions{})
	return err
}

// takeTurn locks the lines of one object. The data directory's lock keeps other
// processes out.
func (d *Directory) takeTurn(key string) *sync.Mutex {
	turn := &d.lines[maphash.String(d.seed, key)%uint64(len(d.lines))]
	turn.Lock()
	return turn
}
