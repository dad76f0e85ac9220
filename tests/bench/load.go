// Package bench measures Signrelay as its users run it. Figures are only compared within one run, because machines vary.
package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/providers/pleasesign"
)

// callback is one request to send.
type callback struct {
	body          string
	header, value string // the authentication
}

// callbacks makes n unique callbacks of PleaseSign, each of 1 KiB and signed with the key "test".
func callbacks(n int, run, kind string) []callback {
	all := make([]callback, n)
	for i := range all {
		body := fmt.Sprintf(`{"id":"%s-%d","event":%q,"document_id":"PLSDOC%s%08d","recipient_id":"r%d",`+
			`"first_name":"John","last_name":"Doe","email":"example@pleasesign.com.au","mobile":"61437111222","method":"email",`+
			`"opened_date":%d,"note":"`, run, i, kind, run, i, i, time.Now().Unix())
		body += strings.Repeat("x", 1024-len(body)-2) + `"}`
		all[i] = callback{body: body, header: "X-Pleasesign-Signature", value: pleasesign.Sign("test", []byte(body))}
	}
	return all
}

// result is the outcome of one load.
type result struct {
	perSecond float64
	p50, p99  time.Duration
}

// load sends the callbacks over this number of connections, each with one request at a time, and fails unless each gets status 202. It
// uses an ordinary net/http client, whose share of the CPU is the same in all measurements.
func load(b *testing.B, url string, all []callback, connections int) result {
	b.Helper()
	var next atomic.Int64
	latencies := make([]time.Duration, len(all))
	errs := make(chan error, connections)
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true}}
	defer client.CloseIdleConnections()
	runtime.GC()
	var workers sync.WaitGroup
	began := time.Now()
	for range connections {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				sent := time.Now()
				if err := post(b.Context(), client, url, all[i]); err != nil {
					errs <- err
					return
				}
				latencies[i] = time.Since(sent)
			}
		})
	}
	workers.Wait()
	took := time.Since(began)
	select {
	case err := <-errs:
		b.Fatal(err)
	default:
	}
	slices.Sort(latencies)
	return result{
		perSecond: float64(len(all)) / took.Seconds(),
		p50:       latencies[len(latencies)/2], p99: latencies[len(latencies)*99/100],
	}
}

func post(ctx context.Context, client *http.Client, url string, c callback) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(c.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(c.header, c.value)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}
