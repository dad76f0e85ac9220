package security

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// sendRaw sends bytes on a new connection, and returns the statuses of all responses until the server closes it. If the server keeps the connection, it closes it and reports that.
func sendRaw(t *testing.T, s *stand, text string) (statuses []int, kept bool) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.IngestURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	// The server allows 15 s for a request, and keeps an idle connection for 75 s.
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(reader, nil)
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			return statuses, true
		}
		if err != nil {
			return statuses, false
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		statuses = append(statuses, resp.StatusCode)
	}
}

// wired returns an authentic request in the wire format; headers replace the header with its length.
func wired(document string, headers ...string) string {
	body := clickwrapSent(document)
	if headers == nil {
		headers = []string{fmt.Sprintf("Content-Length: %d", len(body))}
	}
	return head(headers...) + body
}

func head(headers ...string) string {
	return "POST /webhooks/clickwrap/wire HTTP/1.1\r\nHost: signrelay.example\r\nContent-Type: application/json\r\n" +
		"Pactsafe-Webhook-Token: " + token("wire") + "\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
}

func inChunks(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }

// If a proxy and our server may disagree about the end of a request, our server closes the connection and does not read the following
// bytes. Otherwise it would read them as the next caller's request.
func smuggledRequests(t *testing.T, s *stand) {
	smuggled := wired("smuggled")
	body := clickwrapSent("carrier")
	length := len(body)
	for name, text := range map[string]string{
		"a length and chunks":                 head(fmt.Sprintf("Content-Length: %d", length), "Transfer-Encoding: chunked") + inChunks(body) + smuggled,
		"chunks and a length":                 head("Transfer-Encoding: chunked", fmt.Sprintf("Content-Length: %d", length)) + inChunks(body) + smuggled,
		"an empty length, and chunks":         head("Content-Length: 0", "Transfer-Encoding: chunked") + inChunks(body) + smuggled,
		"a length that hides in chunks":       head(fmt.Sprintf("Content-Length: %d", 5+len(smuggled)), "Transfer-Encoding: chunked") + "0\r\n\r\n" + smuggled,
		"chunks in capitals, and a length":    head("Transfer-Encoding: CHUNKED", "Content-Length: 5") + inChunks(body) + smuggled,
		"chunks folded, and a length":         head("Transfer-Encoding:\r\n chunked", "Content-Length: 5") + inChunks(body) + smuggled,
		"two lengths":                         head("Content-Length: 0", fmt.Sprintf("Content-Length: %d", length)) + body + smuggled,
		"two lengths in one":                  head(fmt.Sprintf("Content-Length: 0, %d", length)) + body + smuggled,
		"the same length twice, in one":       head(fmt.Sprintf("Content-Length: %[1]d, %[1]d", length)) + body + smuggled,
		"a length with a sign":                head(fmt.Sprintf("Content-Length: +%d", length)) + body + smuggled,
		"a length below nothing":              head("Content-Length: -1") + body + smuggled,
		"a length in hexadecimal":             head(fmt.Sprintf("Content-Length: 0x%x", length)) + body + smuggled,
		"a length with a gap":                 head("Content-Length: 1 0") + body + smuggled,
		"a length above every number's range": head("Content-Length: 99999999999999999999") + body + smuggled,
		"a length before its colon":           head(fmt.Sprintf("Content-Length : %d", length)) + body + smuggled,
		"an unknown encoding":                 head("Transfer-Encoding: xchunked", fmt.Sprintf("Content-Length: %d", length)) + body + smuggled,
		"the encoding identity":               head("Transfer-Encoding: identity", fmt.Sprintf("Content-Length: %d", length)) + body + smuggled,
		"two encodings":                       head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + inChunks(body) + smuggled,
		"two encodings in one":                head("Transfer-Encoding: gzip, chunked") + inChunks(body) + smuggled,
		"an encoding before its colon":        head("Transfer-Encoding : chunked", fmt.Sprintf("Content-Length: %d", length)) + inChunks(body) + smuggled,
		"an encoding with a tab in it":        head("Transfer-Encoding: \x0bchunked", fmt.Sprintf("Content-Length: %d", length)) + inChunks(body) + smuggled,
		"an encoding behind a bare line feed": head("X: y\nTransfer-Encoding: chunked", fmt.Sprintf("Content-Length: %d", length)) + inChunks(body) + smuggled,
		"a chunk with a sign":                 head("Transfer-Encoding: chunked") + "-5\r\nhello\r\n0\r\n\r\n" + smuggled,
		"a chunk above every number's range":  head("Transfer-Encoding: chunked") + "fffffffffffffffff\r\nhello\r\n0\r\n\r\n" + smuggled,
		"a chunk that ends late":              head("Transfer-Encoding: chunked") + "1\r\nhello\r\n0\r\n\r\n" + smuggled,
		"a chunk with more behind its number": head("Transfer-Encoding: chunked") + fmt.Sprintf("%x;x=\"%s\"\r\n%s\r\n0\r\n\r\n", length, "y", body) + smuggled,
		"a chunk's line with a bare feed":     head("Transfer-Encoding: chunked") + fmt.Sprintf("%x\n%s\r\n0\r\n\r\n", length, body) + smuggled,
		"a chunk's end with a bare feed":      head("Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\n0\n\n", length, body) + smuggled,
		"trailers with a token":               strings.Replace(head("Transfer-Encoding: chunked", "Trailer: Pactsafe-Webhook-Token"), "Pactsafe-Webhook-Token: "+token("wire")+"\r\n", "", 1) + fmt.Sprintf("%x\r\n%s\r\n0\r\nPactsafe-Webhook-Token: %s\r\n\r\n", length, body, token("wire")) + smuggled,
		"a zero byte in a header":             head("X: \x00", fmt.Sprintf("Content-Length: %d", length)) + body + smuggled,
		"a carriage return in a header":       head("X: a\rTransfer-Encoding: chunked", fmt.Sprintf("Content-Length: %d", length)) + body + smuggled,
		"a header without a name":             head(": x", fmt.Sprintf("Content-Length: %d", length)) + body + smuggled,
		"a header without a colon":            head("Transfer-Encoding chunked", fmt.Sprintf("Content-Length: %d", length)) + body + smuggled,
		"two hosts":                           head("Host: other.example", fmt.Sprintf("Content-Length: %d", length)) + body + smuggled,
		"no host":                             strings.Replace(wired("carrier"), "Host: signrelay.example\r\n", "", 1) + smuggled,
		"another protocol":                    strings.Replace(wired("carrier"), "HTTP/1.1", "HTTP/1.2 x", 1) + smuggled,
		"the first protocol":                  "GET /webhooks/clickwrap/wire\r\n" + smuggled,
		"a method with a line in it":          "PO\nST / HTTP/1.1\r\nHost: x\r\n\r\n" + smuggled,
		"headers beyond the limit":            head("X: "+strings.Repeat("x", 64<<10), fmt.Sprintf("Content-Length: %d", length)) + body + smuggled,
		"a request without a protocol":        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + smuggled,
	} {
		if statuses, kept := sendRaw(t, s, text); len(statuses) > 1 || kept {
			t.Errorf("%s: statuses %v, connection kept: %v", name, statuses, kept)
		}
	}
	if n := s.stored(t, "signing.v1.*.*.*.*.smuggled"); n != 0 {
		t.Errorf("the log holds the smuggled request %d times", n)
	}
	// Valid requests on one connection all get a response, and so does a request in chunks.
	last := clickwrapSent("wire-2")
	pipelined := wired("wire-1") + head("Connection: close", fmt.Sprintf("Content-Length: %d", len(last))) + last
	if statuses, _ := sendRaw(t, s, pipelined); !slices.Equal(statuses, []int{202, 202}) {
		t.Errorf("two requests on one connection: %v", statuses)
	}
	if statuses, _ := sendRaw(t, s, head("Transfer-Encoding: chunked")+inChunks(clickwrapSent("wire-3"))); !slices.Equal(statuses, []int{202}) {
		t.Errorf("a request in chunks: %v", statuses)
	}
	if n := s.stored(t, "signing.v1.wire.clickwrap.document.sent.*"); n < 3 {
		t.Errorf("the log holds %d of the three honest requests", n)
	}
}
