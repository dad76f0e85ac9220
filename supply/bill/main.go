// Bill writes the SBOM (CycloneDX) of a built program, and the licences and notices of third-party code in it. It reads the modules from
// the program itself, so it lists linked modules, and not all required ones. It fails if a licence is not allowed, or not recognised.
//
//	go run ./bill -out dist bin/ingest bin/enricher    writes dist/ingest.cdx.json, dist/ingest.third-party.txt, ...
package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	out := flag.String("out", ".", "the folder to write to")
	version := flag.String("version", "unknown", "the programs' version")
	quiet := flag.Bool("check", false, "check the licences, and write nothing")
	flag.Parse()
	for _, program := range flag.Args() {
		if err := bill(context.Background(), program, *out, *version, *quiet); err != nil {
			fmt.Fprintf(os.Stderr, "bill: %s: %v\n", filepath.Base(program), err)
			os.Exit(1)
		}
	}
	fmt.Printf("licences of %d programs: all allowed\n", flag.NArg())
}

func bill(ctx context.Context, program, out, version string, checkOnly bool) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	modules, err := linked(ctx, info)
	if err != nil {
		return err
	}
	var problems []error
	for i := range modules {
		if err := modules[i].license(); err != nil {
			problems = append(problems, err)
		}
	}
	if err := errors.Join(problems...); err != nil || checkOnly {
		return err
	}
	name := filepath.Base(program)
	if err := write(filepath.Join(out, name+".cdx.json"), func(w io.Writer) error { return sbom(w, name, version, info, modules) }); err != nil {
		return err
	}
	return write(filepath.Join(out, name+".third-party.txt"), func(w io.Writer) error { return notices(w, name, modules) })
}

func write(path string, by func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(by(f), f.Close())
}

// module is a third-party module that is linked into a program.
type module struct {
	path, version, sum string
	dir                string // the folder of its source
	licence            string // SPDX expression
	texts              []text // licence and notices
}

// linked lists the modules of a program, the standard library first. Ours are replaced by folders, and left out.
func linked(ctx context.Context, info *buildinfo.BuildInfo) ([]module, error) {
	goVersion, _, _ := strings.Cut(info.GoVersion, " ") // without the experiments it was built with
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	modules := []module{{path: "std", version: goVersion, dir: strings.TrimSpace(string(goroot))}}
	args := []string{"mod", "download", "-json"}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Version == "" || m.Version == "(devel)" {
			continue // a folder of this repository
		}
		modules = append(modules, module{path: m.Path, version: m.Version, sum: m.Sum})
		args = append(args, m.Path+"@"+m.Version)
	}
	if len(modules) == 1 {
		return modules, nil
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = os.TempDir(), append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod") // outside any module
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go mod download: %w", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(output)))
	for i := 1; i < len(modules); i++ {
		var d struct{ Path, Version, Dir, Sum string }
		if err := dec.Decode(&d); err != nil {
			return nil, err
		}
		m := &modules[i]
		if d.Path != m.path || d.Version != m.version {
			return nil, fmt.Errorf("asked for %s, got %s", m.path, d.Path)
		}
		if d.Sum != m.sum {
			return nil, fmt.Errorf("%s %s: the program has %s, the module cache %s", m.path, m.version, m.sum, d.Sum)
		}
		m.dir = d.Dir
	}
	return modules, nil
}
