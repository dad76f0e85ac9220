package service

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// A container engine runs the program itself as the health check, with the same settings.
func TestHealthcheckReportsReadyz(t *testing.T) {
	t.Parallel()
	broken := make(chan struct{})
	h := open(t, settings(t), Service{Name: "sandbox", Run: func(ctx context.Context, env Env) error {
		env.Health.Add("the-world", func(context.Context) error {
			select {
			case <-broken:
				return errors.New("is unavailable")
			default:
				return nil
			}
		})
		env.Up()
		<-ctx.Done()
		return nil
	}})
	h.opened()
	check := func() (int, string) {
		status, _, stderr := use(t.Context(), t, Service{Name: "sandbox"}, []string{"healthcheck"},
			[]string{"SIGNRELAY_ADMIN_ADDR=" + strings.Replace(h.cfg.Admin.Addr, "127.0.0.1", "", 1)}) // on all interfaces, as in a container
		return status, stderr
	}
	if status, stderr := check(); status != 0 || stderr != "" {
		t.Errorf("ready: %d %s", status, stderr)
	}
	close(broken)
	until(t, "it is not ready", func() bool { // the results of the checks stay valid for a second
		status, stderr := check()
		return status == 1 && strings.Contains(stderr, "the-world")
	})
}

func TestHealthcheckOfAProgramThatDoesNotRun(t *testing.T) {
	t.Parallel()
	status, _, stderr := use(t.Context(), t, Service{Name: "ingest"}, []string{"healthcheck"}, []string{"SIGNRELAY_ADMIN_ADDR=" + freeAddr(t)})
	if status != 1 || !strings.Contains(stderr, "no response from the admin listener") {
		t.Errorf("%d %s", status, stderr)
	}
}
