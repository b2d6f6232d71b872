package flite

import (
	"compress/gzip"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// maxModule bounds the uncompressed module.
const maxModule = 64 << 20

const moduleFile = "assets/flite.wasm.gz"

// Only its placeholder is certain to be in the directory.
//
//go:embed all:assets
var assets embed.FS

func embedded() bool {
	file, err := assets.Open(moduleFile)
	if err != nil {
		return false
	}
	return file.Close() == nil
}

// readModule returns the embedded module, uncompressed. Its buffer has the right size from the start:
// growing one would triple the memory that loading takes.
func readModule() ([]byte, error) {
	file, err := assets.Open(moduleFile)
	if err != nil {
		return nil, ErrUnavailable
	}
	defer file.Close()
	size, err := unpackedSize(file)
	if err != nil {
		return nil, fmt.Errorf("flite: embedded module: %w", err)
	}
	packed, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("flite: embedded module: %w", err)
	}
	module := make([]byte, size)
	if _, err := io.ReadFull(packed, module); err != nil {
		return nil, fmt.Errorf("flite: embedded module: %w", err)
	}
	// The end of the stream is where its checksum is verified.
	if _, err := packed.Read(make([]byte, 1)); err != io.EOF {
		return nil, fmt.Errorf("flite: embedded module: after its end: %w", err)
	}
	return module, nil
}

// unpackedSize reads the last four bytes of a gzip file (RFC 1952, ISIZE) and goes back to its start.
func unpackedSize(file fs.File) (int, error) {
	seeker, ok := file.(io.ReadSeeker)
	if !ok {
		return 0, errors.New("cannot be read twice")
	}
	if _, err := seeker.Seek(-4, io.SeekEnd); err != nil {
		return 0, err
	}
	var field [4]byte
	if _, err := io.ReadFull(seeker, field[:]); err != nil {
		return 0, err
	}
	size := binary.LittleEndian.Uint32(field[:])
	if size > maxModule {
		return 0, fmt.Errorf("%d bytes, more than %d", size, maxModule)
	}
	_, err := seeker.Seek(0, io.SeekStart)
	return int(size), err
}
