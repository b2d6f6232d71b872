package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// segment is a batch of records: a file of lines, or memory while no file can
// be written. A line is the CRC-32C of the record as eight hexadecimal digits, a
// space, the record and a line feed.
type segment struct {
	id      int64 // microseconds of its beginning, made unique
	began   time.Time
	records int
	bytes   int64

	path  string // "" = in memory
	file  *os.File
	kept  [][]byte // the records of a segment in memory
	clean bool     // nothing was added since the syncer looked
	named bool     // the name of the file is on the disk
	shut  bool     // the file is closed; it takes no more and is on the disk

	found   bool // of an earlier process
	read    bool // records is what can be delivered
	attempt int
	since   time.Time
}

const suffix = ".records"

// maxSegment is more than the largest file this package writes.
const maxSegment = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const checksumLength = 8

// appendLine appends the line of a record; ok is false when it cannot be one.
func appendLine(line, record []byte) (_ []byte, ok bool) {
	if len(record) == 0 || len(record) > maxRecord || bytes.IndexByte(record, '\n') >= 0 {
		return line, false
	}
	const digits = "0123456789abcdef"
	sum := crc32.Checksum(record, castagnoli)
	for shift := 28; shift >= 0; shift -= 4 {
		line = append(line, digits[sum>>shift&15])
	}
	return append(append(append(line, ' '), record...), '\n'), true
}

// readLines returns the records in data, and how many of its lines are none. The
// end after the last line feed is what a crash cut off: it is not a line.
func readLines(data []byte) (records [][]byte, damaged int) {
	for {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			return records, damaged
		}
		line := data[:end]
		data = data[end+1:]
		if record, ok := readLine(line); ok {
			records = append(records, record)
		} else {
			damaged++
		}
	}
}

func readLine(line []byte) (record []byte, ok bool) {
	if len(line) <= checksumLength+1 || len(line) > maxRecord+checksumLength+1 || line[checksumLength] != ' ' {
		return nil, false
	}
	sum, err := strconv.ParseUint(string(line[:checksumLength]), 16, 32)
	record = line[checksumLength+1:]
	return record, err == nil && uint32(sum) == crc32.Checksum(record, castagnoli)
}

// findSegments returns the segments in dir, the oldest first.
func findSegments(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir) // sorted by name, which is by id
	if err != nil {
		return nil, err
	}
	var list []*segment
	for _, entry := range entries {
		name, ours := strings.CutSuffix(entry.Name(), suffix)
		id, err := strconv.ParseInt(name, 10, 64)
		if !ours || err != nil || !entry.Type().IsRegular() {
			continue
		}
		s := &segment{id: id, began: time.UnixMicro(id), path: filepath.Join(dir, entry.Name()), clean: true, named: true, shut: true, found: true}
		data, err := s.content()
		if err != nil {
			return nil, err
		}
		s.records, s.bytes = bytes.Count(data, []byte{'\n'}), int64(len(data))
		list = append(list, s)
	}
	return list, nil
}

func (s *segment) create(dir string) (err error) {
	path := filepath.Join(dir, fmt.Sprintf("%020d%s", s.id, suffix))
	if s.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600); err != nil {
		s.file = nil
		return err
	}
	s.path = path
	return nil
}

// write adds a line to the file. When it returns false, a part of the line may
// be at the end of the file: nothing may follow it.
func (s *segment) write(line []byte) bool {
	if n, err := s.file.Write(line); err != nil || n != len(line) {
		return false
	}
	s.records++
	s.bytes += int64(len(line))
	return true
}

// keep adds a record in memory. size is what its line would take.
func (s *segment) keep(record []byte, size int) {
	s.kept = append(s.kept, bytes.Clone(record))
	s.records++
	s.bytes += int64(size)
}

// load returns the records, and how many lines are none.
func (s *segment) load() (records [][]byte, damaged int, err error) {
	if s.path == "" {
		return s.kept, 0, nil
	}
	data, err := s.content()
	if err != nil {
		return nil, 0, err
	}
	records, damaged = readLines(data)
	return records, damaged, nil
}

func (s *segment) content() ([]byte, error) {
	file, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSegment))
	return data, errors.Join(err, file.Close())
}

// discard removes the file.
func (s *segment) discard() {
	if s.file != nil {
		_ = s.file.Close()
	}
	if s.path != "" {
		_ = os.Remove(s.path) // what stays is delivered again by the next process
	}
}

// park leaves the records to the next process, in a file and on the disk.
func (s *segment) park(dir string) error {
	if s.shut {
		return nil
	}
	if s.path == "" {
		if err := s.create(dir); err != nil {
			return reason(err)
		}
		for _, record := range s.kept {
			line, _ := appendLine(nil, record)
			if _, err := s.file.Write(line); err != nil {
				return errors.Join(reason(err), s.file.Close())
			}
		}
	}
	return errors.Join(s.file.Sync(), s.file.Close())
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
