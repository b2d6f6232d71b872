//go:build !linux

package crash

import "syscall"

func child() *syscall.SysProcAttr { return nil }
