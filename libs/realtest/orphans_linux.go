package realtest

import "syscall"

// orphansDie has the kernel end the process when the test binary is gone.
func orphansDie() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
