//go:build faults

// Package crash lets the fault tests kill a program at a named point between two of its steps.
package crash

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// SIGNRELAY_TEST_CRASH is "<point>@<n>": the program dies the n-th time that it reaches the point.
var (
	where, count, _ = strings.Cut(os.Getenv("SIGNRELAY_TEST_CRASH"), "@")
	after, _        = strconv.Atoi(count)
	passed          atomic.Int64
)

// Point kills the program with SIGKILL, which it cannot catch, if SIGNRELAY_TEST_CRASH names this point.
func Point(name string) {
	if name != where || passed.Add(1) != int64(after) {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the signal arrives
}
