// Vulncheck looks for known vulnerabilities in the code that the programs reach. It needs no network: it runs govulncheck against the
// copy of the Go vulnerability database in .ci/vulndb.jsonl, which has only the entries about our modules.
//
// Exit status 0: no vulnerability was found, or there is no database and the output says that the check was skipped. 1: a vulnerability
// was found, or the check failed although there is a database.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A copy older than this is still used, and the output asks for a new one.
const fresh = 60 * 24 * time.Hour

// The source of the database as a Go module, so that a machine with access to a module proxy can take a new copy.
const source = "golang.org/x/vulndb"

// accepted lists the vulnerabilities that govulncheck finds although the programs cannot reach them, with the proof.
var accepted = map[string]string{
	// The database names no function, so govulncheck counts the package's initialisation.
	"GO-2025-3553": "the parser of golang-jwt is in no program (TestNoProgramParsesTokens)",
}

type check struct {
	govulncheck string   // the program's path
	goVersion   string   // of the releases' toolchain, e.g. go1.27.3
	copyFile    string   // the copy of the database
	database    string   // another database's URL (https or file); empty: the copy
	required    bool     // fail if there is no database
	dir         string   // the folder of the packages' names
	packages    []string // patterns of the released packages
	now         time.Time
	out         io.Writer
}

func main() {
	c := check{dir: ".", now: time.Now(), out: os.Stdout}
	flag.StringVar(&c.govulncheck, "tool", "govulncheck", "govulncheck's path")
	flag.StringVar(&c.goVersion, "go", "", "the Go version that releases are built with, e.g. go1.27.3")
	flag.StringVar(&c.copyFile, "copy", "", "the file with the copy of the database")
	flag.StringVar(&c.database, "db", "", "use this database instead of the copy, e.g. https://vuln.go.dev")
	flag.BoolVar(&c.required, "required", false, "fail if no database can be read")
	renew := flag.Bool("refresh", false, "take a new copy through the Go module proxy, and exit")
	flag.Parse()
	c.packages = flag.Args()
	run := c.run
	if *renew {
		run = c.refresh
	}
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
		os.Exit(1)
	}
}

// errNoDatabase is wrapped by the errors after which the check is skipped.
var errNoDatabase = errors.New("no vulnerability database")

func (c check) run(ctx context.Context) error {
	err := c.look(ctx)
	if errors.Is(err, errNoDatabase) && !c.required {
		const line = "****************************************************************"
		fmt.Fprintf(c.out, "%s\nVULNERABILITY CHECK SKIPPED, nothing was looked for: %v\n%[1]s\n", line, err)
		return nil
	}
	return err
}

func (c check) look(ctx context.Context) error {
	database, taken := c.database, ""
	if database == "" {
		dir, err := os.MkdirTemp("", "signrelay-vulndb-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		h, err := unpack(c.copyFile, dir)
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: %w", errNoDatabase, err)
		} else if err != nil {
			return err
		}
		modules, err := c.modules(ctx)
		if err != nil {
			return err
		}
		if missing := h.missing(modules); len(missing) > 0 {
			return fmt.Errorf("the copy of the database has no data about %s: run make vulndb", strings.Join(missing, ", "))
		}
		if c.now.Sub(h.Taken) > fresh {
			fmt.Fprintf(c.out, "NOTE: the copy of the vulnerability database is of %s: run make vulndb\n", h.Taken.Format(time.DateOnly))
		}
		database, taken = "file://"+filepath.ToSlash(dir), " (database of "+h.Taken.Format(time.DateOnly)+")"
	} else if err := reachable(ctx, database); err != nil {
		return fmt.Errorf("%w: %w", errNoDatabase, err)
	}

	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.govulncheck, append([]string{"-format", "json", "-db", database}, c.packages...)...)
	cmd.Dir, cmd.Stderr = c.dir, &stderr
	cmd.Env = append(os.Environ(), "GOVERSION="+c.goVersion)
	output, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("govulncheck: %w\n%s", err, stderr.String())
	}
	return c.judge(output, taken)
}

// judge reads govulncheck's output.
func (c check) judge(output []byte, taken string) error {
	reached, err := parse(output)
	if err != nil {
		return err
	}
	bad := 0
	for _, id := range slices.Sorted(maps.Keys(reached)) {
		if reason, ok := accepted[id]; ok {
			fmt.Fprintf(c.out, "%s, accepted: %s\n", reached[id], reason)
			continue
		}
		fmt.Fprintln(c.out, reached[id])
		bad++
	}
	for _, id := range slices.Sorted(maps.Keys(accepted)) {
		if _, ok := reached[id]; !ok {
			return fmt.Errorf("%s is accepted, but no longer found: remove it from the list", id)
		}
	}
	if bad > 0 {
		return fmt.Errorf("the code reaches %d known vulnerabilities: raise the versions named above", bad)
	}
	fmt.Fprintf(c.out, "no other known vulnerability is reached, with %s%s\n", c.goVersion, taken)
	return nil
}

// reachable returns an error if a database cannot be read.
func reachable(ctx context.Context, database string) error {
	if dir, ok := strings.CutPrefix(database, "file://"); ok {
		_, err := os.Stat(dir)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(database, "/")+"/index/db.json.gz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s responds with %s", database, resp.Status)
	}
	return nil
}

// modules lists the modules of the packages, with their versions by path; the standard library is "stdlib", the go command "toolchain".
func (c check) modules(ctx context.Context) (map[string]string, error) {
	modules := map[string]string{"stdlib": c.standard(), "toolchain": c.standard()}
	args := append([]string{"list", "-deps", "-f", "{{with .Module}}{{if .Version}}{{.Path}} {{.Version}}{{end}}{{end}}"}, c.packages...)
	listed, err := c.output(ctx, args...)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(listed) {
		if path, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			modules[path] = version
		}
	}
	return modules, nil
}

// standard is the standard library's version as the database writes it.
func (c check) standard() string { return "v" + strings.TrimPrefix(c.goVersion, "go") }

func (c check) output(ctx context.Context, args ...string) (string, error) {
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stderr = c.dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, stderr.String())
	}
	return string(out), nil
}

// refresh takes a new copy.
func (c check) refresh(ctx context.Context) error {
	modules, err := c.modules(ctx)
	if err != nil {
		return err
	}
	out, err := c.output(ctx, "mod", "download", "-json", source+"@latest")
	if err != nil {
		return err
	}
	var module struct{ Dir, Version, Info string }
	if err := json.Unmarshal([]byte(out), &module); err != nil {
		return err
	}
	data, err := os.ReadFile(module.Info)
	if err != nil {
		return err
	}
	var info struct{ Time time.Time }
	if err := json.Unmarshal(data, &info); err != nil {
		return err
	}
	if err := refresh(c.copyFile, filepath.Join(module.Dir, "data", "osv"), source+"@"+module.Version, info.Time, modules); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s: the database of %s\n", c.copyFile, info.Time.Format(time.DateOnly))
	return nil
}
