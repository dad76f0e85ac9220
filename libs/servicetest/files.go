package servicetest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sections"
)

// Files is a folder with files for settings.
type Files struct {
	t   testing.TB
	dir string
}

// Load reads settings, some of them from files: each file is named like its variable, such as NATS_PASSWORD. yaml is the content of the settings
// file, and may be empty.
func Load(t testing.TB, yaml string, files map[string]string, environ ...string) (config.Config, *Files) {
	t.Helper()
	f := &Files{t: t, dir: t.TempDir()}
	for name, text := range files {
		environ = append(environ, "SIGNRELAY_"+name+"_FILE="+f.Write(name, text))
	}
	cfg, _, err := config.Load(sections.All, []string{"--config", f.Write("settings", yaml)}, environ)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, f
}

// Write writes a file, and returns its path.
func (f *Files) Write(name, text string) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// Replace writes a file, and lets a running service read it.
func (f *Files) Replace(live *config.Live, name, text string) {
	f.t.Helper()
	f.Write(name, text)
	if replaced, err := live.Reread(service.Check, true); err != nil || len(replaced) != 1 {
		f.t.Fatalf("replaced %q: %v", replaced, err)
	}
}
