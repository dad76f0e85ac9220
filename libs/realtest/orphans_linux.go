package realtest

import "syscall"

// orphansDie makes the kernel end the process when the test binary ends.
func orphansDie() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
