package service

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version and commit are set by linker flags.
var version, commit string

// Version returns the program's version: the linker flag, otherwise the commit.
func Version() string {
	if version != "" {
		return version
	}
	return Commit()
}

// Commit returns the commit that the program was built from, with "-dirty" if files had changed. It is "unknown" without a linker flag and
// without Go's build information.
func Commit() string {
	if commit != "" {
		return commit
	}
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return "unknown"
	}
	revision, dirty := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	return revision + dirty
}

// About returns a program's output for the command version.
func About(program string) string {
	return fmt.Sprintf("%s %s, commit %s, %s", program, Version(), Commit(), runtime.Version())
}
