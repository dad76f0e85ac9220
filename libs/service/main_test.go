package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/services/sections"
)

// use runs the program as main does.
func use(ctx context.Context, t *testing.T, s Service, args, environ []string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = Start(ctx, s, sections.All, args, environ, &out, &errs)
	return status, out.String(), errs.String()
}

func TestHelpListsTheSettings(t *testing.T) {
	t.Parallel()
	status, stdout, stderr := use(t.Context(), t, Service{Name: "ingest"}, []string{"-h"}, nil)
	if status != 0 || stderr != "" || !strings.Contains(stdout, "--ingest.addr") || !strings.Contains(stdout, "SIGNRELAY_INGEST_ADDR") {
		t.Errorf("%d\n%s\n%s", status, stdout, stderr)
	}
}

// The command version works with invalid settings too: people run it on an image without any configuration.
func TestAProgramPrintsItsVersion(t *testing.T) {
	t.Parallel()
	status, stdout, stderr := use(t.Context(), t, Service{Name: "ingest", Calls: []Party{NATS, Redis}}, []string{"version"}, []string{"SIGNRELAY_LOG_LEVEL=loud"})
	if status != 0 || stderr != "" || stdout != fmt.Sprintf("ingest %s, commit %s, %s\n", Version(), Commit(), runtime.Version()) {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
}

func TestWrongUseIsStatus2AndReportsAllErrors(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "signrelay.yaml")
	text := "sources: [{name: acme, provider: clickwrap}]\nlgo: {}\n" // no secret, and an unknown key
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, stderr := use(t.Context(), t, Service{Name: "ingest", Calls: []Party{NATS, Redis}},
		[]string{"--config", path, "serve"}, []string{"SIGNRELAY_LOG_LEVEL=loud"})
	if status != 2 {
		t.Errorf("status %d", status)
	}
	for _, want := range []string{
		"lgo (line 2): unknown key", `"serve": want no arguments`, "sources[0]: clickwrap/acme: ", "log.level: want ",
		"nats.url: ingest runs alone", "SIGNRELAY_NATS_URL", "redis.url: ingest runs alone", "SIGNRELAY_REDIS_URL",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is missing in:\n%s", want, stderr)
		}
	}
}

func TestThePacksAcceptTheExample(t *testing.T) {
	t.Parallel()
	cfg, _, err := config.Load(sections.All, []string{"--config", "../../deployments/signrelay.example.yaml"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(cfg); err != nil {
		t.Error(err)
	}
}

//nolint:paralleltest // the program sets process-wide values, such as the propagator of traces
func TestExitStatus(t *testing.T) {
	environ := []string{"SIGNRELAY_ADMIN_ADDR=127.0.0.1:0"}
	sandbox := func(run func(context.Context, Env) error) Service {
		return Service{Name: "sandbox", Run: run}
	}

	ctx, stop := context.WithCancel(t.Context())
	status, _, stderr := use(ctx, t, sandbox(func(ctx context.Context, env Env) error {
		env.Up()
		stop()
		<-ctx.Done()
		return nil
	}), nil, environ)
	if status != 0 || !strings.Contains(stderr, `"msg":"ended"`) {
		t.Errorf("after a shutdown: %d\n%s", status, stderr)
	}

	status, _, stderr = use(t.Context(), t, sandbox(func(context.Context, Env) error {
		return errors.New("no mail for eric.smith@acme.example")
	}), nil, environ)
	if status != 1 || !strings.Contains(stderr, `"error":"sandbox: no mail for ********"`) {
		t.Errorf("after a failure: %d\n%s", status, stderr)
	}
}
