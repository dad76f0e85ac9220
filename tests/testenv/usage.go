package testenv

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// CPU returns the processor time that a process has used; Linux only. For other processes the kernel reports hundredths of a second; for this
// one the exact time.
func CPU(t testing.TB, pid int) time.Duration {
	t.Helper()
	if pid == os.Getpid() {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ") // the name may contain spaces
	fields := strings.Fields(after)
	var user, system int
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	const ticks = 100 // per second, on every Linux that Go supports
	return time.Duration(user+system) * time.Second / ticks
}

// Memory returns the resident memory of a process in bytes; Linux only.
func Memory(t testing.TB, pid int) int {
	t.Helper()
	n, err := memory(pid, "VmRSS:")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// OwnMemory returns the part of a process's resident memory that is not pages of files, in bytes; Linux only. The kernel may drop the pages of a
// program's file, and loads them again when they are needed.
func OwnMemory(t testing.TB, pid int) int {
	t.Helper()
	n, err := memory(pid, "RssAnon:")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// PeakMemory returns the most resident memory that a process ever had, in bytes; 0 if it has ended. Linux only.
func PeakMemory(pid int) int {
	n, _ := memory(pid, "VmHWM:")
	return n
}

func memory(pid int, field string) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, field); found {
			var kilobytes int
			_, err := fmt.Sscanf(strings.TrimSpace(rest), "%d kB", &kilobytes)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("no %s", field)
}
