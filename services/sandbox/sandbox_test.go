package sandbox_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sandbox"
	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
)

func TestRunServesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	up, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- sandbox.Run(ctx, service.Env{
			Config: sandboxtest.Settings("http://127.0.0.1:1"), Log: slog.New(slog.DiscardHandler), Up: func() { close(up) },
		})
	}()
	select {
	case <-up:
	case err := <-ended:
		t.Fatalf("ended before it was ready: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with: %v", err)
	}
}

func TestAnOccupiedAddressIsReportedAndNothingStaysOpen(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	cfg := sandboxtest.Settings("")
	sandboxsettings.Section.In(&cfg).SMTPAddr = w.Addr("smtp")
	if _, err := sandbox.New(cfg, slog.New(slog.DiscardHandler), sandbox.Clock{Now: time.Now}); err == nil || !strings.Contains(err.Error(), "SMTP") {
		t.Errorf("error is %v, want one that names SMTP", err)
	}
}

func TestMessagesAreFilteredAndDeleted(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	if got := w.Get("/api/messages"); got.Body != "[]\n" {
		t.Fatalf("a new sandbox has received %s", got.Body)
	}
	for _, to := range []string{"13175551234", "447700900123", "13175551234"} {
		w.SMS(sandboxtest.SMSForm("to", to))
	}
	for query, want := range map[string]int{
		"":                             3,
		"?to=13175551234":              2,
		"?to=%2B13175551234":           2,
		"?to=+13175551234":             2, // an unescaped plus is a space
		"?to=1317555123":               0,
		"?channel=sms":                 3,
		"?channel=email":               0,
		"?channel=sms&to=447700900123": 1,
	} {
		if got := w.Received(query); len(got) != want {
			t.Errorf("messages%s: %d, want %d", query, len(got), want)
		}
	}
	sandboxtest.WantStatus(t, w.Do("DELETE", "/api/messages", "", nil), 204)
	if got := w.Received(""); len(got) != 0 {
		t.Errorf("%d messages are left", len(got))
	}
}

func TestAnotherSitesPageCannotPlayOrDelete(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	w.SMS(sandboxtest.SMSForm())
	foreign := http.Header{"Origin": {"https://elsewhere.example"}, "Sec-Fetch-Site": {"cross-site"}}
	sandboxtest.WantStatus(t, w.Do("DELETE", "/api/messages", "", foreign), 403)
	sandboxtest.WantStatus(t, w.Do("POST", "/api/play", `{}`, foreign), 403)
	if got := w.Received(""); len(got) != 1 {
		t.Errorf("%d messages are left, want one", len(got))
	}
	own := http.Header{"Origin": {"http://" + w.HTTPAddr()}, "Sec-Fetch-Site": {"same-origin"}}
	sandboxtest.WantStatus(t, w.Do("DELETE", "/api/messages", "", own), 204)
}

func TestATooLargeBodyIsRefused(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	sandboxtest.WantProblem(t, w.Post("/api/play", `{"provider":"`+strings.Repeat("x", 64<<10)+`"}`), 400, "too large")
	sandboxtest.WantStatus(t, w.PostForm(sandboxtest.SMSForm("text", strings.Repeat("x", 64<<10))), 400)
	if got := w.Received(""); len(got) != 0 {
		t.Errorf("%d messages were accepted", len(got))
	}
}
