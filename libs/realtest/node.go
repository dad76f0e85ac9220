package realtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Node returns a function that runs a JavaScript program: it passes an input to the program and returns the output. The program uses the packages
// of the package.json in its folder, which are fetched once. The test is skipped if Node.js or npm is missing.
func Node(t testing.TB, program string) func(input string) (output string, err error) {
	t.Helper()
	folder := NodePackages(t, filepath.Dir(program))
	return func(input string) (string, error) {
		run := exec.CommandContext(t.Context(), "node", program)
		run.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(folder, "node_modules"))
		run.Stdin = strings.NewReader(input)
		said, err := run.CombinedOutput()
		return string(said), err
	}
}

// NodePackages fetches the packages of the package.json in a folder once, and returns the folder with its node_modules. The test is skipped if
// Node.js or npm is missing.
func NodePackages(t testing.TB, of string) string {
	t.Helper()
	Server(t, "Node.js")
	_, noNode := exec.LookPath("node")
	_, noNPM := exec.LookPath("npm")
	if missing := errors.Join(noNode, noNPM); missing != nil {
		Missing(t, "%s does not run: install Node.js with npm for it: %v", filepath.Base(of), missing)
	}
	fetch := exec.CommandContext(t.Context(), "sh", filepath.Join(here(), "npm", "fetch.sh"), of)
	fetch.Stderr = t.Output()
	folder, err := fetch.Output()
	if err != nil {
		t.Fatalf("fetch the packages of %s: %v", of, err)
	}
	return strings.TrimSpace(string(folder))
}

// Linkifier returns a function that finds the links in each of many texts as phones and mail programs do, with linkify-it and linkifyjs.
// It starts one process for each call.
func Linkifier(t testing.TB) func(texts []string) [][]string {
	t.Helper()
	run := Node(t, filepath.Join(here(), "npm", "linkifier", "links.cjs"))
	return func(texts []string) [][]string {
		t.Helper()
		var input bytes.Buffer
		if err := json.NewEncoder(&input).Encode(texts); err != nil {
			t.Fatal(err)
		}
		output, err := run(input.String())
		if err != nil {
			t.Fatalf("linkifier: %v: %s", err, output)
		}
		var links [][]string
		if err := json.Unmarshal([]byte(output), &links); err != nil || len(links) != len(texts) {
			t.Fatalf("linkifier: %d results for %d texts: %v", len(links), len(texts), err)
		}
		return links
	}
}

// here returns this package's folder.
func here() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}
