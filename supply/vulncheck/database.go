package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// header is the first line of the copy; each line after it is an entry of the Go vulnerability database, in the OSV format.
type header struct {
	Source  string            `json:"source"`
	Licence string            `json:"licence"`
	Taken   time.Time         `json:"taken"`
	Modules map[string]string `json:"modules"` // the lowest version that the copy covers, by module
}

// entry has the fields of an OSV entry that govulncheck reads, without its texts.
type entry struct {
	ID        string     `json:"id"`
	Modified  time.Time  `json:"modified"`
	Aliases   []string   `json:"aliases,omitempty"`
	Summary   string     `json:"summary,omitempty"`
	Withdrawn *time.Time `json:"withdrawn,omitempty"`
	Affected  []affected `json:"affected"`
}

type affected struct {
	Package  map[string]string `json:"package"`
	Ranges   []affectedRange   `json:"ranges"`
	Specific json.RawMessage   `json:"ecosystem_specific,omitempty"`
}

type affectedRange struct {
	Type   string              `json:"type"`
	Events []map[string]string `json:"events"`
}

// concerns reports whether the entry affects a module at the version in modules or a later one.
func (a affected) concerns(modules map[string]string) bool {
	version, ok := modules[a.Package["name"]]
	if !ok {
		return false
	}
	for _, r := range a.Ranges {
		last := ""
		for _, event := range r.Events {
			last = event["fixed"] // empty after "introduced": no version is fixed yet
			if last != "" && semver.Compare("v"+last, version) > 0 {
				return true
			}
		}
		if last == "" {
			return true
		}
	}
	return len(a.Ranges) == 0
}

// reduce keeps the parts that concern the modules; ok is false if there are none.
func (e entry) reduce(modules map[string]string) (_ entry, ok bool) {
	e.Affected = slices.DeleteFunc(slices.Clone(e.Affected), func(a affected) bool { return !a.concerns(modules) })
	return e, len(e.Affected) > 0 && e.Withdrawn == nil
}

// refresh writes the copy: the entries in a folder of OSV files that concern the modules.
func refresh(copyFile, osvDir, source string, taken time.Time, modules map[string]string) error {
	files, err := filepath.Glob(filepath.Join(osvDir, "GO-*.json"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no entry in %s", osvDir)
	}
	lines := []any{header{
		Source: source, Licence: "CC-BY-4.0, the Go vulnerability database's authors; prose and entries about other modules are left out",
		Taken: taken, Modules: modules,
	}}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var e entry
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if e, ok := e.reduce(modules); ok {
			e.Modified = taken // the files of the database's source have no date
			lines = append(lines, e)
		}
	}
	var b strings.Builder
	for _, line := range lines {
		data, err := json.Marshal(line)
		if err != nil {
			return err
		}
		b.Write(append(data, '\n'))
	}
	return os.WriteFile(copyFile, []byte(b.String()), 0o644) //nolint:gosec // a public file of the repository
}

// unpack writes each of the copy's entries to a file in dir, in the layout of a local database of govulncheck.
func unpack(copyFile, dir string) (header, error) {
	var h header
	f, err := os.Open(copyFile)
	if err != nil {
		return h, err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &h) != nil || len(h.Modules) == 0 {
		return h, errors.Join(fmt.Errorf("%s: no header in the first line", copyFile), lines.Err())
	}
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.ID == "" {
			return h, errors.Join(fmt.Errorf("%s: a line is no entry", copyFile), err)
		}
		if err := os.WriteFile(filepath.Join(dir, e.ID+".json"), lines.Bytes(), 0o600); err != nil {
			return h, err
		}
	}
	return h, lines.Err()
}

// missing lists the modules that the copy does not cover: modules that were added or downgraded after it was taken.
func (h header) missing(modules map[string]string) []string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		known, ok := h.Modules[path]
		if !ok || semver.Compare(modules[path], known) < 0 {
			out = append(out, path+" "+cmp.Or(modules[path], "?"))
		}
	}
	return out
}
