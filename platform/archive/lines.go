package archive

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds one row.
const maxLine = 32 << 20

// Lines reads the rows of one stream.
type Lines struct {
	stream string
	source *bufio.Reader
	number int64
	long   bytes.Buffer
	closer io.Closer
	echo   Rows
}

func newLines(stream string, source io.Reader) *Lines {
	return &Lines{stream: stream, source: bufio.NewReaderSize(source, 256<<10)}
}

// Raw returns the next row without its line break, or io.EOF. It is valid until
// the next call.
func (l *Lines) Raw() ([]byte, error) {
	l.number++
	l.long.Reset()
	for {
		part, err := l.source.ReadSlice('\n')
		switch {
		case err == nil && l.long.Len() == 0:
			return part[: len(part)-1 : len(part)-1], nil
		case err == nil:
			l.long.Write(part[:len(part)-1])
			return l.long.Bytes(), nil
		case errors.Is(err, io.EOF) && len(part) == 0 && l.long.Len() == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			return nil, l.wrong(errors.New("is cut short"))
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
		if l.long.Write(part); l.long.Len() > maxLine {
			return nil, l.wrong(fmt.Errorf("is longer than %d MiB", maxLine>>20))
		}
	}
}

// Next reads the next row into row and reports whether there was one. A row
// with a field that row does not have is an error.
func (l *Lines) Next(row any) (bool, error) {
	data, err := l.Raw()
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(row); err != nil {
		return false, l.wrong(errors.New("is not such a row"))
	}
	if l.echo != nil {
		return true, l.echo.Write(l.stream, row)
	}
	return true, nil
}

// Echo lets out take every row that Next reads, as this release writes it: in
// rows of an older one fields can be missing.
func (l *Lines) Echo(out Rows) { l.echo = out }

// wrong names the row but never what is in it.
func (l *Lines) wrong(err error) error {
	return fmt.Errorf("line %d of %s %w", l.number, pathOf(l.stream), err)
}

// Close closes what the lines come from.
func (l *Lines) Close() error {
	if l.closer == nil {
		return nil
	}
	return l.closer.Close()
}

// Pages reads all rows and hands them on, at most size at a time.
func Pages[Row any](lines *Lines, size int, store func(page []Row) error) error {
	page := make([]Row, 0, size)
	for {
		var row Row
		more, err := lines.Next(&row)
		if err != nil {
			return err
		}
		if more {
			page = append(page, row)
		}
		if len(page) > 0 && (!more || len(page) == size) {
			if err := store(page); err != nil {
				return fmt.Errorf("rows up to line %d of %s: %w", lines.number, pathOf(lines.stream), err)
			}
			page = page[:0]
		}
		if !more {
			return nil
		}
	}
}
