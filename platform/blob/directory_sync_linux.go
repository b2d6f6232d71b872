package blob

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncTree brings everything below dir to the disk with one call for its file
// system, which for very many files is far cheaper than one for each.
func syncTree(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = handle.Close() }()
	return unix.Syncfs(int(handle.Fd()))
}
