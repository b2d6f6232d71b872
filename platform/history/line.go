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

func containsID(r io.Reader, id string) (bool, error) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadSlice('\n')
		if lineID(line) == id {
			return true, nil
		}
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return false, err
		}
	}
}
