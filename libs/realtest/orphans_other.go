//go:build !linux

package realtest

import "syscall"

// orphansDie does nothing here: only Linux can end a child with its parent.
func orphansDie() *syscall.SysProcAttr { return nil }
