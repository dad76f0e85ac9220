package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const jwt = `{"finding":{"osv":"GO-2025-3553","trace":[{"module":"github.com/golang-jwt/jwt","version":"v3.2.2","package":"p","function":"init"}]}}`

var taken = time.Date(2026, 11, 5, 0, 0, 0, 0, time.UTC)

// setup creates a module with one package that reaches only the standard library, a copy of a database, and a
// govulncheck that prints output.
func setup(t *testing.T, output string, modules map[string]string) (check, *strings.Builder) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for govulncheck is a shell script")
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("go.mod", "module example.com/m\n\ngo 1.26.0\n")
	write("m.go", "package m\n")
	write("output", output)
	h, err := json.Marshal(header{Taken: taken, Modules: modules})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	return check{
		govulncheck: write("govulncheck", "#!/bin/sh\n[ \"$GOVERSION\" = go1.27.3 ] && exec cat '"+filepath.Join(dir, "output")+"'\n"),
		goVersion:   "go1.27.3",
		copyFile:    write("copy.jsonl", string(h)+"\n"+`{"id":"GO-1","affected":[]}`+"\n"),
		dir:         dir, packages: []string{"./..."}, now: taken, out: &out,
	}, &out
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	missing := func(c *check) { c.copyFile += ".missing" }
	must := func(c *check) { missing(c); c.required = true }
	old := func(c *check) { c.now = taken.Add(61 * 24 * time.Hour) }
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	unreachable := func(c *check) { c.database = closed.URL }
	standard := map[string]string{"stdlib": "v1.27.3", "toolchain": "v1.27.3"}
	for name, row := range map[string]struct {
		output  string
		modules map[string]string
		change  func(*check)
		printed string // part of the output
		fails   string // part of the error; empty: exit status 0
	}{
		"only accepted vulnerabilities": {jwt, standard, nil, "no other known vulnerability is reached, with go1.27.3 (database of 2026-11-05)", ""},
		"a vulnerability that is reached": {
			`{"osv":{"id":"GO-1","summary":"Bad"}}` + jwt + `{"finding":{"osv":"GO-1","fixed_version":"v2","trace":[{"module":"a","version":"v1","package":"a","function":"F"},{"package":"ours","function":"Run"}]}}`,
			standard, nil, "GO-1: Bad: a v1 (fixed in v2), reached from ours.Run", "reaches 1 known",
		},
		"one that is only required":       {jwt + `{"finding":{"osv":"GO-1","trace":[{"module":"a"}]}}`, standard, nil, "no other", ""},
		"no database":                     {jwt, standard, missing, "VULNERABILITY CHECK SKIPPED", ""},
		"no database, and it is required": {jwt, standard, must, "", "no vulnerability database"},
		"a database out of reach":         {jwt, standard, unreachable, "VULNERABILITY CHECK SKIPPED", ""},
		"an old copy":                     {jwt, standard, old, "NOTE: the copy of the vulnerability database is of 2026-11-05", ""},
		"a module the copy does not know": {jwt, map[string]string{"toolchain": "v1.27.3"}, nil, "", "has no data about stdlib v1.27.3"},
		"a lower version than the copy's": {jwt, map[string]string{"stdlib": "v1.27.4", "toolchain": "v1.27.3"}, nil, "", "has no data about stdlib v1.27.3"},
		"an accepted one is gone":         {`{}`, standard, nil, "", "no longer found"},
		"a tool with invalid output":      {`{`, standard, nil, "", "govulncheck's output"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, out := setup(t, row.output, row.modules)
			if row.change != nil {
				row.change(&c)
			}
			err := c.run(t.Context())
			if (err == nil) != (row.fails == "") || err != nil && !strings.Contains(err.Error(), row.fails) {
				t.Errorf("got %v, want %q", err, row.fails)
			}
			if !strings.Contains(out.String(), row.printed) {
				t.Errorf("the output is %q, want %q", out, row.printed)
			}
		})
	}
}

// A tool that cannot run is a failure, not a clean result.
func TestNoTool(t *testing.T) {
	t.Parallel()
	c, _ := setup(t, jwt, map[string]string{"stdlib": "v1.27.3", "toolchain": "v1.27.3"})
	c.govulncheck += ".missing"
	if err := c.run(t.Context()); err == nil {
		t.Error("it passed")
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	osv, dir := t.TempDir(), t.TempDir()
	entryOf := func(id, module, events, more string) {
		text := `{"id":"` + id + `","details":"prose","affected":[{"package":{"name":"` + module + `","ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[` +
			events + `]}],"ecosystem_specific":{"imports":[{"path":"a/b"}]}},{"package":{"name":"other"},"ranges":[]}]` + more + `}`
		if err := os.WriteFile(filepath.Join(osv, id+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entryOf("GO-1", "a", `{"introduced":"0"},{"fixed":"1.2.4"}`, "")                                          // it has our version
	entryOf("GO-2", "a", `{"introduced":"0"},{"fixed":"1.2.3"}`, "")                                          // fixed in ours
	entryOf("GO-3", "a", `{"introduced":"0"},{"fixed":"1.2.3"},{"introduced":"2.0.0"}`, "")                   // a later one has it
	entryOf("GO-4", "b", `{"introduced":"0"}`, "")                                                            // no module of ours
	entryOf("GO-5", "a", `{"introduced":"0"}`, `,"withdrawn":"2026-01-01T00:00:00Z"`)                         // withdrawn
	entryOf("GO-6", "a", `{"introduced":"0"},{"fixed":"1.1.0"},{"introduced":"1.3.0"},{"fixed":"1.3.1"}`, "") // between
	copyFile := filepath.Join(dir, "copy.jsonl")
	if err := refresh(copyFile, osv, "somewhere", taken, map[string]string{"a": "v1.2.3"}); err != nil {
		t.Fatal(err)
	}
	into := t.TempDir()
	h, err := unpack(copyFile, into)
	if err != nil || !h.Taken.Equal(taken) || h.Modules["a"] != "v1.2.3" {
		t.Fatalf("%v, %v", h, err)
	}
	var got []string
	files, _ := os.ReadDir(into)
	for _, f := range files {
		got = append(got, f.Name())
		data, _ := os.ReadFile(filepath.Join(into, f.Name()))
		if strings.Contains(string(data), "prose") || strings.Contains(string(data), "other") || !strings.Contains(string(data), "a/b") {
			t.Errorf("%s", data)
		}
	}
	if want := "GO-1.json GO-3.json GO-6.json"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if err := refresh(copyFile, t.TempDir(), "somewhere", taken, nil); err == nil {
		t.Error("a folder without entries makes a copy")
	}
}
