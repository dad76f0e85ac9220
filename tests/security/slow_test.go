package security

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// crowd is more connections than the house's SIGNRELAY_INGEST_MAX_IN_FLIGHT would have requests at once.
const crowd = 1100

// Callers who begin and do not go on are cut off, and while they hold on nobody else is kept waiting: neither by those who
// have not told who they are, nor by those who told and keep their body to themselves.
func slowCallers(t *testing.T, s *stand) {
	body := clickwrapSent("slow-1")
	inHeaders := "POST /webhooks/clickwrap/slow HTTP/1.1\r\nHost: x\r\nX-Slow: "
	inBody := fmt.Sprintf("POST /webhooks/clickwrap/slow HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:10])
	var slow []net.Conn
	for i := range crowd {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.IngestURL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		text := inBody
		if i%100 == 0 {
			text = inHeaders
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	s.Until(t, "the crowd is in", func() bool { return s.gauge(t, "ingest", "go_goroutines") >= crowd })
	for i := range 20 {
		s.accepts(t, "an honest callback meanwhile", clickwrap("slow", clickwrapSent(fmt.Sprintf("slow-honest-%d", i))))
	}
	for i := 0; i < crowd; i += 50 {
		status, err := awaitEnd(slow[i])
		switch {
		case err != nil:
			t.Errorf("slow caller %d: %v", i, err)
		case i%100 == 0 && status != 0:
			t.Errorf("who is slow in his headers is answered %d", status)
		case i%100 != 0 && status != http.StatusBadRequest:
			t.Errorf("who is slow in his body is answered %d", status)
		}
	}
}

// awaitEnd waits until the server ends a connection, and returns what it answered before, 0 for nothing. The server's own
// limits are 5 s for headers and 15 s for a request.
func awaitEnd(conn net.Conn) (status int, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, err
	}
	reader := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(reader, nil)
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			return status, errors.New("the connection still stands after 30 s")
		}
		if err != nil {
			return status, nil //nolint:nilerr // the end that was waited for
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		status = resp.StatusCode
	}
}
