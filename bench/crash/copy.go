package crash

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// CopyAndLook copies the data directory under load, file by file in any order,
// starts a server on the copy and looks at everything that was acknowledged
// before the copy began and not changed since. Only the files of the database
// are taken at one instant, in which the server stands still: between two of
// them SQLite may move pages from one to the other. The run goes on with the
// copy.
func (r *Run) CopyAndLook(to string) error {
	r.cycles++
	r.moments["copied"]++
	wait := r.load()
	r.untilAMoment()
	_ = r.field.book.newest(0)
	before := r.field.book.all()
	err := r.copyData(to)
	r.field.going.Store(false)
	wait()
	if err != nil {
		return err
	}
	changed := map[*fact]bool{}
	for _, f := range r.field.book.newest(1 << 30) {
		changed[f] = true
	}
	var same []*fact
	for _, f := range before {
		if !changed[f] {
			same = append(same, f)
		}
	}
	r.field.dying.Store(true)
	r.process.Kill()
	r.env = append(r.env, "DATA_DIR="+to) // the last of a name counts
	if err := r.start(); err != nil {
		return err
	}
	r.verified += len(same)
	hold(r.client(), same, r.violate)
	r.options.Log("copied under load: %d of %d facts looked at on the copy", len(same), len(before))
	return nil
}

// copyData copies every file that is there now.
func (r *Run) copyData(to string) error {
	from := r.DataDir()
	const database = "llmhist.db"
	list := []string{database} // stands for its log too
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		name := strings.TrimPrefix(path, from+string(filepath.Separator))
		if err == nil && entry.Type().IsRegular() && !strings.HasPrefix(name, database) {
			list = append(list, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, name := range list {
		if name == database {
			err = r.copyDatabase(from, to, database)
		} else {
			err = copyFile(filepath.Join(from, name), filepath.Join(to, name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) copyDatabase(from, to, name string) error {
	r.process.Signal(syscall.SIGSTOP)
	defer r.process.Signal(syscall.SIGCONT)
	time.Sleep(20 * time.Millisecond) // signals are not awaited; every thread has stopped by then
	return errors.Join(
		copyFile(filepath.Join(from, name), filepath.Join(to, name)),
		copyFile(filepath.Join(from, name+"-wal"), filepath.Join(to, name+"-wal")))
}

// copyFile copies one file; one that is gone is none.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
