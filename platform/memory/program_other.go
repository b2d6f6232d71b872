//go:build !linux

package memory

// forgetProgram does nothing: only Linux is known to keep the pages of a program in
// a process that does not need them.
func forgetProgram() {}
