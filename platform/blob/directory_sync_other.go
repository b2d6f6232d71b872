//go:build !linux

package blob

import (
	"io/fs"
	"os"
	"path/filepath"
)

// syncTree brings everything below dir to the disk, file by file.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		handle, err := os.Open(path)
		if err != nil {
			return err
		}
		err = handle.Sync()
		_ = handle.Close()
		return err
	})
}
