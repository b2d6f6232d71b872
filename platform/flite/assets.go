package flite

import (
	"compress/gzip"
	"embed"
	"fmt"
	"io"
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

// readModule returns the embedded module, uncompressed.
func readModule() ([]byte, error) {
	file, err := assets.Open(moduleFile)
	if err != nil {
		return nil, ErrUnavailable
	}
	defer file.Close()
	packed, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("flite: embedded module: %w", err)
	}
	module, err := io.ReadAll(io.LimitReader(packed, maxModule))
	if err != nil {
		return nil, fmt.Errorf("flite: embedded module: %w", err)
	}
	return module, nil
}
