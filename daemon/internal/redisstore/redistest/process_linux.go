package redistest

import "syscall"

// dieWithParent ends the server also when the test's process ends without Cleanup, as on a panic or a time-out.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
