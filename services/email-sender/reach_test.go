package emailsender

import (
	"slices"
	"strings"
	"testing"

	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
)

func TestReachSendsNoMessage(t *testing.T) {
	t.Parallel()
	settings := emailsettings.SMTP{Host: "127.0.0.1", TLS: "none", Timeout: ample}
	r := newRobot(t, nil)
	settings.Port = r.port
	if err := Reach(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	r.await(t, "1 QUIT")
	r.mu.Lock()
	if slices.ContainsFunc(r.received, func(s string) bool { return strings.HasSuffix(s, " MAIL") || strings.HasSuffix(s, " DATA") }) {
		t.Errorf("received %q", r.received)
	}
	r.mu.Unlock()

	refusing := newRobot(t, map[string]string{"1 CONNECT": "554 not you"})
	settings.Port = refusing.port
	if err := Reach(t.Context(), settings); reason(err) != "smtp-554" || !strings.HasPrefix(err.Error(), "smtp-554") {
		t.Errorf("refused: %v", err)
	}
	settings.Username, settings.Password, settings.Port = "acme", "right", r.port // the robot supports no login
	if err := Reach(t.Context(), settings); reason(err) != "smtp-settings" {
		t.Errorf("without a login: %v", err)
	}
}
