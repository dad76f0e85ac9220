//go:build !linux

package realtest

import "syscall"

// orphansDie can promise nothing here: only Linux ends a child with its parent.
func orphansDie() *syscall.SysProcAttr { return nil }
