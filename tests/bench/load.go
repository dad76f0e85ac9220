// Package bench measures Signrelay as its users run it. Figures are compared within one run, because machines are noisy.
package bench

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// callbacks makes n unique callbacks of 1 KiB as raw HTTP requests: PleaseSign's recipient.complete, signed with "test".
func callbacks(n int, run string) [][]byte {
	requests := make([][]byte, n)
	for i := range requests {
		body := fmt.Sprintf(`{"id":"%s-%d","event":"recipient.complete","document_id":"PLSDOC%s%08d","recipient_id":"r%d",`+
			`"first_name":"John","last_name":"Doe","email":"example@pleasesign.com.au","mobile":"61437111222","method":"email",`+
			`"complete_date":1531228693,"note":"`, run, i, run, i, i)
		body += strings.Repeat("x", 1024-len(body)-2) + `"}`
		mac := hmac.New(sha256.New, []byte("test"))
		mac.Write([]byte(body))
		requests[i] = fmt.Appendf(nil, "POST /webhooks/pleasesign/demo HTTP/1.1\r\nHost: signrelay\r\nContent-Type: application/json\r\n"+
			"X-Pleasesign-Signature: %s\r\nContent-Length: %d\r\n\r\n%s", hex.EncodeToString(mac.Sum(nil)), len(body), body)
	}
	return requests
}

// result is what one load showed.
type result struct {
	perSecond float64
	p50, p99  time.Duration
}

// load sends the requests over so many connections, each one request at a time, and fails unless each is answered want. It
// speaks HTTP over bare connections: a client library would cost more of the machine's cores than what is measured.
func load(b *testing.B, addr string, requests [][]byte, connections int, want string) result {
	b.Helper()
	var next atomic.Int64
	latencies := make([]time.Duration, len(requests))
	errs := make(chan error, connections)
	var all sync.WaitGroup
	runtime.GC()
	began := time.Now()
	for range connections {
		all.Go(func() {
			if err := sendAll(addr, requests, &next, latencies, want); err != nil {
				errs <- err
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	select {
	case err := <-errs:
		b.Fatal(err)
	default:
	}
	slices.Sort(latencies)
	return result{
		perSecond: float64(len(requests)) / took.Seconds(),
		p50:       latencies[len(latencies)/2], p99: latencies[len(latencies)*99/100],
	}
}

func sendAll(addr string, requests [][]byte, next *atomic.Int64, latencies []time.Duration, want string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	for {
		i := int(next.Add(1)) - 1
		if i >= len(requests) {
			return nil
		}
		began := time.Now()
		if _, err := conn.Write(requests[i]); err != nil {
			return err
		}
		status, err := readAnswer(reader)
		if err != nil {
			return err
		}
		latencies[i] = time.Since(began)
		if status != want {
			return fmt.Errorf("request %d was answered %s, want %s", i, status, want)
		}
	}
}

func readAnswer(r *bufio.Reader) (status string, err error) {
	text := textproto.NewReader(r)
	line, err := text.ReadLine()
	if err != nil {
		return "", err
	}
	_, status, _ = strings.Cut(line, " ")
	status, _, _ = strings.Cut(status, " ")
	length := 0
	for {
		header, err := text.ReadLineBytes()
		if err != nil {
			return "", err
		}
		if len(header) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(header, []byte(":")); strings.EqualFold(string(name), "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(string(value))); err != nil {
				return "", err
			}
		}
	}
	_, err = r.Discard(length)
	return status, err
}

// cpu is the processor time that a process has used so far; Linux only.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, fields, _ := strings.Cut(string(stat), ") ")
	parts := strings.Fields(fields)
	const ticks = 100 // a second, on every Linux that Go knows
	user, _ := strconv.Atoi(parts[11])
	system, _ := strconv.Atoi(parts[12])
	return time.Duration(user+system) * time.Second / ticks
}

// memory is what a process has in RAM, in bytes; Linux only.
func memory(b *testing.B, pid int) int {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kilobytes, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kilobytes << 10
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
