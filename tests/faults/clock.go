package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/tests/testenv"
)

// clock is the wall clock of the services; a test can let it jump. Timers are not affected, as on a real machine: they use the monotonic clock.
type clock struct {
	t    *testing.T
	path string // of the file with the offset in seconds
}

// The programs read the time from the kernel, so the change is in their standard library: these lines replace lines of package time in a
// copy for the build.
const (
	now       = "	sec, nsec, mono := runtimeNow()\n	if mono == 0 {"
	nowJumped = "	sec, nsec, mono := runtimeNow()\n	sec += jumpSeconds\n	if mono == 0 {"

	jumpedFile = `package time

import "syscall"

// jumpSeconds is the offset of the wall clock in seconds. Now cannot read a file, so a goroutine does.
var jumpSeconds int64

func init() {
	path, found := syscall.Getenv("SIGNRELAY_TEST_CLOCK")
	if !found {
		return
	}
	go func() {
		for {
			readJump(path)
			Sleep(10 * Millisecond)
		}
	}()
}

func readJump(path string) {
	fd, err := syscall.Open(path, syscall.O_RDONLY, 0)
	if err != nil {
		return
	}
	var text [32]byte
	n, _ := syscall.Read(fd, text[:])
	syscall.Close(fd)
	var seconds, sign int64 = 0, 1
	for _, c := range text[:max(n, 0)] {
		switch {
		case c == '-':
			sign = -1
		case '0' <= c && c <= '9':
			seconds = 10*seconds + int64(c-'0')
		}
	}
	jumpSeconds = sign * seconds
}
`
)

// newClock creates a clock, the variant of programs that use it, and the environment variable that names it.
func newClock(t *testing.T) (c clock, as testenv.Variant, variable string) {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	data, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(data), now) != 1 {
		t.Fatal("this test does not know this version of time.Now: the change must be made in another way")
	}
	dir := t.TempDir()
	c = clock{t: t, path: filepath.Join(dir, "clock")}
	c.jump(0)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	replace := map[string]map[string]string{"Replace": {
		source: write("time.go", strings.Replace(string(data), now, nowJumped, 1)),
		filepath.Join(filepath.Dir(source), "jumped.go"): write("jumped.go", jumpedFile),
	}}
	overlay, err := json.Marshal(replace)
	if err != nil {
		t.Fatal(err)
	}
	as = testenv.Variant{Name: "clock", Args: []string{"-overlay", write("overlay.json", string(overlay))}}
	return c, as, "SIGNRELAY_TEST_CLOCK=" + c.path
}

// jump sets the clock to this offset from the real time.
func (c clock) jump(d time.Duration) {
	c.t.Helper()
	next := c.path + ".next" // so that a program reads the whole number
	if err := os.WriteFile(next, fmt.Appendf(nil, "%d\n", int(d.Seconds())), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(next, c.path); err != nil {
		c.t.Fatal(err)
	}
}
