package service

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A caller who dribbles must not hold a place for ever: his connection is cut, in his headers and in his body. One who says
// the same at once is answered.
func TestSlowCallersAreCutOff(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	door, err := openPublic("127.0.0.1:0", handler, func() {}, slog.New(slog.DiscardHandler), failed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = door.server.Close() })

	for name, c := range map[string]struct {
		sent   string
		within time.Duration // well above the limits of 5 s and 15 s, well below for ever
		answer string
	}{
		"in his headers": {"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ", 12 * time.Second, ""},
		"in his body":    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123", 25 * time.Second, "HTTP/1.1 400"},
		"not at all":     {"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\n123", 12 * time.Second, "HTTP/1.1 202"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", door.listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.SetDeadline(time.Now().Add(c.within)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, c.sent); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(conn) // until the server ends the connection
			if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
				t.Fatalf("the connection still stands after %v", c.within)
			}
			if !strings.HasPrefix(string(answer), c.answer) {
				t.Errorf("answered %.60q, want %s", answer, c.answer)
			}
		})
	}
}
