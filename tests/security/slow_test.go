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

// Connections of clients that stop during a request are closed. Meanwhile no other client waits, neither for unauthenticated clients nor
// for authenticated clients that delay a body of any announced size. The authenticated clients hold more connections than the listener's
// budget allows.
func slowCallers(t *testing.T, s *stand) {
	body := clickwrapSent("slow-1")
	begin := "POST /webhooks/clickwrap/slow HTTP/1.1\r\nHost: x\r\n"
	inHeaders := begin + "X-Slow: "
	var slow []net.Conn
	honest := 0
	for _, crowd := range []struct {
		of   int
		sent string
	}{
		{50, inHeaders},
		{256, begin + "Content-Length: 1048576\r\n\r\n{"},
		{256, begin + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"},
		{100, begin + "Content-Length: 1048576\r\n\r\n" + strings.Repeat(" ", 300<<10)},
		{2000, fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", begin, len(body), body[:10])},
		{1000, ""},
	} {
		for range crowd.of {
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.IngestURL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_, _ = io.WriteString(conn, crowd.sent) // this fails if the connection is closed
			slow = append(slow, conn)
		}
		for i := range 20 {
			c := clickwrap("slow", clickwrapSent(fmt.Sprintf("slow-honest-%d", honest)))
			honest++
			switch i % 4 {
			case 1:
				c.body += strings.Repeat(" ", 100<<10)
				s.accepts(t, "a callback of 100 KiB meanwhile", c)
			case 2:
				if a := s.sendBody(t, c, struct{ io.Reader }{strings.NewReader(c.body)}); a.status != http.StatusAccepted {
					t.Errorf("a callback in chunks meanwhile: %d %s", a.status, a.text)
				}
			default:
				s.accepts(t, "an honest callback meanwhile", c)
			}
		}
	}
	if dropped := s.gauge(t, "ingest", `signrelay_http_connections_dropped_total\{service="ingest"\}`); dropped == 0 {
		t.Error("the listener was never full")
	}
	for i := 0; i < len(slow); i += 50 {
		switch status, err := awaitEnd(slow[i]); {
		case err != nil:
			t.Errorf("slow caller %d: %v", i, err)
		case status != 0 && status != http.StatusBadRequest && status != http.StatusServiceUnavailable:
			t.Errorf("slow caller %d got status %d", i, status)
		case i == 0 && status != 0:
			t.Errorf("a caller with slow headers got status %d", status)
		}
	}
	if n := s.stored(t, "signing.v1.slow.clickwrap.document.sent.*"); n != honest {
		t.Errorf("the log holds %d of %d honest callbacks", n, honest)
	}
}

// awaitEnd waits until the server ends a connection, and returns the status that it sent before, 0 for none. The server's own limits are 5
// s for headers and 15 s for a request.
func awaitEnd(conn net.Conn) (status int, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, err
	}
	reader := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(reader, nil)
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			return status, errors.New("the connection is still open after 30 s")
		}
		if err != nil {
			return status, nil //nolint:nilerr // the expected end
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		status = resp.StatusCode
	}
}
