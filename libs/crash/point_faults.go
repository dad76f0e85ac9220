//go:build faults

// Package crash is where the fault tests kill a program: at a named point between two of its steps.
package crash

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// SIGNRELAY_TEST_CRASH is "<point>@<n>": the program dies the n-th time that it comes by.
var (
	where, count, _ = strings.Cut(os.Getenv("SIGNRELAY_TEST_CRASH"), "@")
	after, _        = strconv.Atoi(count)
	passed          atomic.Int64
)

// Point kills the program with a signal that it cannot hear, when it is the one that was asked for.
func Point(name string) {
	if name != where || passed.Add(1) != int64(after) {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until it is heard
}
