package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxHeld is the most bytes of content that are held in memory.
const maxHeld = 256 << 10

// Content is an object's content on its way from one place to another, in
// memory when it is small and in a temporary file when it is not. Its size and
// hash are known.
type Content struct {
	Size   int64
	SHA256 string

	held []byte
	file string
}

// TakeContent reads all of source, at most maxObject bytes. dir takes temporary
// files. Release the content.
func TakeContent(dir string, source io.Reader) (*Content, error) {
	sum := sha256.New()
	var head bytes.Buffer
	size, err := io.CopyN(io.MultiWriter(&head, sum), source, maxHeld+1)
	if errors.Is(err, io.EOF) {
		return &Content{Size: size, SHA256: hex.EncodeToString(sum.Sum(nil)), held: head.Bytes()}, nil
	}
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(dir, "object-*")
	if err != nil {
		return nil, err
	}
	_, err = file.Write(head.Bytes())
	var rest int64
	if err == nil {
		rest, err = io.Copy(io.MultiWriter(file, sum), io.LimitReader(source, maxObject))
	}
	content := &Content{Size: size + rest, SHA256: hex.EncodeToString(sum.Sum(nil)), file: file.Name()}
	if err = errors.Join(err, file.Close()); err == nil && content.Size > maxObject {
		err = fmt.Errorf("an object is larger than %d GiB", maxObject>>30)
	}
	if err != nil {
		content.Release()
		return nil, err
	}
	return content, nil
}

// BytesContent returns content that is in memory already.
func BytesContent(data []byte) *Content {
	sum := sha256.Sum256(data)
	return &Content{Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]), held: data}
}

// Open opens the content for reading. Close it.
func (c *Content) Open() (io.ReadSeekCloser, error) {
	if c.file == "" {
		return heldReader{bytes.NewReader(c.held)}, nil
	}
	return os.Open(c.file)
}

// Release removes the temporary file, if there is one.
func (c *Content) Release() {
	if c.file != "" {
		_ = os.Remove(c.file)
	}
	c.file, c.held = "", nil
}

type heldReader struct{ *bytes.Reader }

func (heldReader) Close() error { return nil }
