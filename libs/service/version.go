package service

import "runtime/debug"

// version is set by the Makefile's linker flags.
var version string

// Version is the program's version: what the Makefile says, else the commit that Go noted, else "unknown".
func Version() string {
	if version != "" {
		return version
	}
	info, _ := debug.ReadBuildInfo()
	if info != nil {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
