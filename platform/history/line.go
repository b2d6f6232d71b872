package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
)

// lineID returns the id in one line of a daily index, "" for a damaged line.
func lineID(line []byte) string {
	var entry Line
	if json.Unmarshal(line, &entry) != nil {
		return ""
	}
	return entry.ID
}

// containsID reports whether a whole line has the id. An end without its line
// break does not count: the next line appended takes its place.
func containsID(r io.Reader, id string) (bool, error) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case err == nil && lineID(line) == id:
			return true, nil
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return false, err
		}
	}
}
