package flite

import (
	"errors"
	"io"
	"io/fs"

	wasisys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/sys"
)

const (
	textName  = "text"
	soundName = "speech"
)

// errFull stops the program at once: Flite ignores failed writes and would go on for nothing.
var errFull = errors.New("flite: output limit reached")

// memoryDisk is the program's whole file system: a text to read and a sound file to write.
// It belongs to one run and is used by one goroutine.
type memoryDisk struct {
	wasisys.UnimplementedFS
	text, sound *memoryFile
}

func newMemoryDisk(text []byte, limit int) *memoryDisk {
	return &memoryDisk{text: &memoryFile{content: text}, sound: &memoryFile{limit: limit}}
}

// full tells whether the sound reached its limit.
func (d *memoryDisk) full() bool { return d.sound.overflow }

// OpenFile implements sys.FS.
func (d *memoryDisk) OpenFile(path string, flag wasisys.Oflag, _ fs.FileMode) (wasisys.File, wasisys.Errno) {
	switch path {
	case "", ".", "/":
		return directory{}, 0
	case textName:
		return &handle{file: d.text}, 0
	case soundName:
		if flag&wasisys.O_TRUNC != 0 {
			d.sound.content = d.sound.content[:0]
		}
		return &handle{file: d.sound}, 0
	}
	return nil, wasisys.ENOENT
}

// Stat implements sys.FS.
func (d *memoryDisk) Stat(path string) (sys.Stat_t, wasisys.Errno) {
	file, errno := d.OpenFile(path, wasisys.O_RDONLY, 0)
	if errno != 0 {
		return sys.Stat_t{}, errno
	}
	return file.Stat()
}

// Lstat implements sys.FS; there are no links.
func (d *memoryDisk) Lstat(path string) (sys.Stat_t, wasisys.Errno) { return d.Stat(path) }

// directory is the root.
type directory struct{ wasisys.UnimplementedFile }

func (directory) IsDir() (bool, wasisys.Errno) { return true, 0 }

func (directory) Stat() (sys.Stat_t, wasisys.Errno) {
	return sys.Stat_t{Mode: fs.ModeDir | 0o700, Nlink: 1}, 0
}

// memoryFile is what handles of one name share.
type memoryFile struct {
	content  []byte
	limit    int // of content, for writers; 0: read only
	overflow bool
}

// handle is an open file with its own position.
type handle struct {
	wasisys.UnimplementedFile
	file *memoryFile
	at   int64
}

func (h *handle) Stat() (sys.Stat_t, wasisys.Errno) {
	return sys.Stat_t{Mode: 0o600, Nlink: 1, Size: int64(len(h.file.content))}, 0
}

func (h *handle) Read(buf []byte) (int, wasisys.Errno) {
	if h.at >= int64(len(h.file.content)) {
		return 0, 0
	}
	n := copy(buf, h.file.content[h.at:])
	h.at += int64(n)
	return n, 0
}

func (h *handle) Write(buf []byte) (int, wasisys.Errno) {
	if h.file.limit == 0 {
		return 0, wasisys.EBADF
	}
	end := h.at + int64(len(buf))
	if end > int64(h.file.limit) {
		h.file.overflow = true
		panic(errFull)
	}
	if grow := end - int64(len(h.file.content)); grow > 0 {
		h.file.content = append(h.file.content, make([]byte, grow)...)
	}
	copy(h.file.content[h.at:], buf)
	h.at = end
	return len(buf), 0
}

// fileOffset has a name because wazero's Seek is not io.Seeker's: vet takes the plain type for a mistake.
type fileOffset = int64

func (h *handle) Seek(offset fileOffset, whence int) (int64, wasisys.Errno) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += h.at
	case io.SeekEnd:
		offset += int64(len(h.file.content))
	default:
		return 0, wasisys.EINVAL
	}
	if offset < 0 || offset > MaxAudio {
		return 0, wasisys.EINVAL
	}
	h.at = offset
	return offset, 0
}
