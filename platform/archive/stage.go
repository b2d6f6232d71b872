package archive

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// Rows takes rows of named streams. The rows of one stream come in a total
// order by their keys.
type Rows interface {
	Write(stream string, row any) error
}

// tally sums what is written to it as a stream of lines.
type tally struct {
	rows  int64
	bytes int64
	hash  hash.Hash
}

func newTally() *tally { return &tally{hash: sha256.New()} }

// Write counts a part of the stream. It never fails.
func (t *tally) Write(p []byte) (int, error) {
	for _, c := range p {
		if c == '\n' {
			t.rows++
		}
	}
	t.bytes += int64(len(p))
	return t.hash.Write(p)
}

func (t *tally) stream(name string) Stream {
	return Stream{Name: name, Rows: t.rows, Bytes: t.bytes, SHA256: hex.EncodeToString(t.hash.Sum(nil))}
}

// Sums counts and hashes streams of rows and keeps nothing else.
type Sums struct{ tallies map[string]*tally }

// NewSums returns an empty one.
func NewSums() *Sums { return &Sums{tallies: map[string]*tally{}} }

// Write counts a row.
func (s *Sums) Write(stream string, row any) error {
	data, err := line(row)
	if err != nil {
		return fmt.Errorf("encode a row of %s: %w", stream, err)
	}
	if s.tallies[stream] == nil {
		s.tallies[stream] = newTally()
	}
	_, err = s.tallies[stream].Write(data)
	return err
}

// Stream returns the sum over the stream called name so far.
func (s *Sums) Stream(name string) Stream {
	if s.tallies[name] == nil {
		return newTally().stream(name)
	}
	return s.tallies[name].stream(name)
}

// Stage keeps streams of rows as files below a directory, as a set has them,
// while they are being made. It is used by one goroutine.
type Stage struct {
	dir  string
	sums *Sums
	open map[string]*stageFile
}

type stageFile struct {
	file   *os.File
	buffer *bufio.Writer
}

// NewStage returns an empty stage in dir, which exists.
func NewStage(dir string) *Stage {
	return &Stage{dir: dir, sums: NewSums(), open: map[string]*stageFile{}}
}

// Write adds a row to a stream.
func (s *Stage) Write(stream string, row any) error {
	data, err := line(row)
	if err != nil {
		return fmt.Errorf("encode a row of %s: %w", stream, err)
	}
	return s.writeLine(stream, data)
}

func (s *Stage) writeLine(stream string, data []byte) error {
	target := s.open[stream]
	if target == nil {
		var err error
		if target, err = s.create(stream); err != nil {
			return err
		}
	}
	if s.sums.tallies[stream] == nil {
		s.sums.tallies[stream] = newTally()
	}
	_, _ = s.sums.tallies[stream].Write(data)
	_, err := target.buffer.Write(data)
	return err
}

func (s *Stage) create(stream string) (*stageFile, error) {
	if err := os.MkdirAll(filepath.Dir(s.path(stream)), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(s.path(stream), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	s.open[stream] = &stageFile{file, bufio.NewWriterSize(file, 256<<10)}
	return s.open[stream], nil
}

func (s *Stage) path(stream string) string {
	return filepath.Join(s.dir, filepath.FromSlash(pathOf(stream)))
}

// Finish ends a stream, which is then an empty file if it has no rows, and
// returns its sum.
func (s *Stage) Finish(stream string) (Stream, error) {
	target := s.open[stream]
	if target == nil {
		if _, err := os.Stat(s.path(stream)); err == nil {
			return s.sums.Stream(stream), nil // finished before
		}
		var err error
		if target, err = s.create(stream); err != nil {
			return Stream{}, err
		}
	}
	delete(s.open, stream)
	if err := errors.Join(target.buffer.Flush(), target.file.Close()); err != nil {
		return Stream{}, err
	}
	return s.sums.Stream(stream), nil
}

// Lines opens a finished stream for reading. Close it.
func (s *Stage) Lines(stream string) (*Lines, error) {
	file, err := os.Open(s.path(stream))
	if err != nil {
		return nil, err
	}
	lines := newLines(stream, file)
	lines.closer = file
	return lines, nil
}

// Drop rewrites a finished stream without the rows that drop reports.
func (s *Stage) Drop(stream string, drop func(row []byte) bool) error {
	before, err := s.Lines(stream)
	if err != nil {
		return err
	}
	defer func() { _ = before.Close() }()
	if err := os.Remove(s.path(stream)); err != nil {
		return err
	}
	delete(s.sums.tallies, stream)
	for {
		row, err := before.Raw()
		if errors.Is(err, io.EOF) {
			_, err = s.Finish(stream)
			return err
		}
		if err != nil {
			return err
		}
		if drop(row) {
			continue
		}
		if err := s.writeLine(stream, append(row, '\n')); err != nil {
			return err
		}
	}
}

// Close closes what is open. The files stay.
func (s *Stage) Close() {
	for _, target := range s.open {
		_ = target.file.Close()
	}
	clear(s.open)
}
