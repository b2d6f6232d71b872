//go:build linux || darwin

package blob

import (
	"encoding/hex"
	"os"

	"golang.org/x/sys/unix"
)

// hashAttribute keeps the hash of a file's content with the file, so that the
// layout of the directory stays one file per object. A file system without
// extended attributes, or a copy made without them, has no hashes: nothing
// fails for it, and the hash in a request's record remains.
const hashAttribute = "user.llmhist.sha256"

func storeHash(file *os.File, hash string) {
	_ = unix.Fsetxattr(int(file.Fd()), hashAttribute, []byte(hash), 0)
}

func dropHash(file *os.File) {
	_ = unix.Fremovexattr(int(file.Fd()), hashAttribute)
}

func storedHash(file *os.File) string {
	var value [64]byte
	n, err := unix.Fgetxattr(int(file.Fd()), hashAttribute, value[:])
	if err != nil || n != len(value) {
		return ""
	}
	if _, err := hex.DecodeString(string(value[:])); err != nil {
		return ""
	}
	return string(value[:])
}
