package crash

import "syscall"

// child lets a process end with this one, so that a test that is killed leaves
// no server behind.
func child() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
