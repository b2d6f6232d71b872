package crash

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// stored is what a bucket's directory holds of one request.
type stored struct {
	input  bool
	record object // nil = none
	media  []string
	lines  []int64 // owners in whose daily index it is, once for each line
}

// readBucket reads a bucket from the files it is kept in.
func readBucket(dir string) (map[string]*stored, error) {
	found := map[string]*stored{}
	request := func(id string) *stored {
		if found[id] == nil {
			found[id] = &stored{}
		}
		return found[id]
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path == dir:
			return nil
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir // of the store itself
		case entry.IsDir():
			return nil
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		parts := strings.Split(filepath.ToSlash(relative), "/")
		switch {
		case strings.HasPrefix(relative, ".llmhist-probe-"): // of a start that was killed: a later one removes it
			return nil
		case strings.HasSuffix(path, ".jsonl"):
			return readIndex(path, parts, request)
		case len(parts) < 6 || parts[0] != "requests":
			return fmt.Errorf("%s belongs to nothing", relative)
		case parts[5] == "input.json":
			request(parts[4]).input = true
		case parts[5] == "record.json":
			request(parts[4]).record, err = readJSON(path)
		default:
			request(parts[4]).media = append(request(parts[4]).media, path)
		}
		return err
	})
	return found, err
}

func readJSON(path string) (object, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var members object
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return members, nil
}

// readIndex counts the lines of users/{id}/{kind}/history/{yyyy}/{mm}/{dd}.jsonl.
func readIndex(path string, parts []string, request func(id string) *stored) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(parts) < 2 {
		return fmt.Errorf("%s is no daily index", path)
	}
	owner, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return fmt.Errorf("%s is no daily index", path)
	}
	for line := range strings.Lines(string(data)) {
		var entry struct{ ID string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.ID == "" {
			return fmt.Errorf("%s has the line %q", path, line)
		}
		request(entry.ID).lines = append(request(entry.ID).lines, owner)
	}
	return nil
}

// nothingHalf compares what the server lists with what is stored: every request
// has ended, has its record and one line in its owner's index, and nothing else
// is there. Call it after a start, before the first writer.
func (f *field) nothingHalf(c *client, kind media, bucket string) error {
	listed := map[string]object{}
	noun := map[string]string{"image": "images", "speech": "speech"}[kind.noun]
	err := c.pages("/admin"+kind.path+map[string]string{"image": "s"}[kind.noun], noun, f.admin, func(item object) error {
		listed[fmt.Sprint(item["id"])] = item
		return nil
	})
	if err != nil {
		return err
	}
	found, err := readBucket(bucket)
	if err != nil {
		return err
	}
	var wrong []error
	for id, item := range listed {
		if err := agrees(item, found[id]); err != nil {
			wrong = append(wrong, fmt.Errorf("%s %s: %w", kind.noun, id, err))
		}
	}
	for id, s := range found {
		if listed[id] == nil && !f.beingErased(s) {
			wrong = append(wrong, fmt.Errorf("%s %s is not listed, and its input (%t), record (%t), %d media and %d index lines are stored",
				kind.noun, id, s.input, s.record != nil, len(s.media), len(s.lines)))
		}
	}
	return errors.Join(wrong[:min(len(wrong), 10)]...)
}

// beingErased reports whether an index line is all that is left of a request
// whose account is closed: the server goes on erasing that.
func (f *field) beingErased(s *stored) bool {
	return !s.input && s.record == nil && len(s.media) == 0 && len(s.lines) == 1 && f.closing.has(s.lines[0])
}

// agrees compares an item of a list with what is stored of it.
func agrees(item object, s *stored) error {
	status := item["status"]
	switch {
	case s == nil || s.record == nil:
		return fmt.Errorf("it is %v without a record", status)
	case !s.input:
		return fmt.Errorf("it is %v without its input", status)
	case s.record["status"] != status:
		return fmt.Errorf("it is %v, and its record says %v", status, s.record["status"])
	case status != "completed" && status != "failed" && status != "cancelled":
		return fmt.Errorf("it is still %v", status)
	}
	if owner, signedIn := item["user_id"].(float64); signedIn {
		if len(s.lines) != 1 || s.lines[0] != int64(owner) {
			return fmt.Errorf("it is user %v's, and index lines are in those of %v", owner, s.lines)
		}
	} else if len(s.lines) != 0 {
		return fmt.Errorf("it is anonymous and has %d index lines", len(s.lines))
	}
	return agreesInMedia(s)
}

func agreesInMedia(s *stored) error {
	if s.record["status"] != "completed" {
		if len(s.media) != 0 {
			return fmt.Errorf("it is %v and has %v", s.record["status"], s.media)
		}
		return nil
	}
	if len(s.media) != 1 {
		return fmt.Errorf("it is completed and has %d media", len(s.media))
	}
	data, err := os.ReadFile(s.media[0])
	if err != nil {
		return err
	}
	if size, _ := s.record["file_size_bytes"].(float64); int(size) != len(data) {
		return fmt.Errorf("it has %d bytes, and its record says %v", len(data), s.record["file_size_bytes"])
	}
	sum := sha256.Sum256(data)
	if recorded, _ := s.record["sha256"].(string); recorded != "" && recorded != hex.EncodeToString(sum[:]) {
		return errors.New("its bytes are not those of its record")
	}
	return nil
}

// chatsEnded looks at every session of an account: none is listed twice, and no
// answer is unfinished.
func (f *field) chatsEnded(c *client, a *account) error {
	return c.pages("/chat/sessions", "sessions", a.access, func(item object) error {
		id := fmt.Sprint(item["id"])
		found, err := c.find("/chat/sessions/"+id+"?per_page=100", a.access)
		if err != nil {
			return err
		}
		list, _ := found["messages"].([]any)
		if count, _ := found["message_count"].(float64); int(count) != len(list) || len(list)%2 != 0 {
			return fmt.Errorf("session %s has %d messages and counts %v", id, len(list), found["message_count"])
		}
		for _, one := range list {
			message, _ := one.(object)
			if status := message["status"]; status != "completed" && status != "failed" && status != "cancelled" {
				return fmt.Errorf("message %v of session %s is %v", message["id"], id, status)
			}
		}
		return nil
	})
}
