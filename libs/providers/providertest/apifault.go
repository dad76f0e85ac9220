package providertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// refused is a response of the suite's test server, and its expected consequence.
type refused struct {
	status     int
	retryAfter string
	wait       time.Duration
	kind       outcome.Kind
}

func refusals() []refused {
	inAMinute := time.Now().Add(time.Minute + 500*time.Millisecond).UTC().Format(http.TimeFormat)
	return []refused{
		{status: http.StatusBadRequest, kind: outcome.GaveUp},
		{status: http.StatusUnauthorized, kind: outcome.Held},
		{status: http.StatusForbidden, kind: outcome.Held},
		{status: http.StatusNotFound, kind: outcome.Failed},
		{status: http.StatusGone, kind: outcome.GaveUp},
		{status: http.StatusUnprocessableEntity, kind: outcome.GaveUp},
		{status: http.StatusTooManyRequests, retryAfter: "7", wait: 7 * time.Second, kind: outcome.Failed},
		{status: http.StatusInternalServerError, kind: outcome.Failed},
		{status: http.StatusBadGateway, retryAfter: "soon", kind: outcome.Failed},
		{status: http.StatusServiceUnavailable, retryAfter: inAMinute, wait: time.Minute, kind: outcome.Failed},
		{status: http.StatusGatewayTimeout, retryAfter: "-5", kind: outcome.Failed},
		{status: http.StatusNoContent, kind: outcome.Failed},
		{status: http.StatusNotModified, kind: outcome.Failed},
	}
}

func (r refused) response(w http.ResponseWriter) {
	w.Header().Set("Retry-After", r.retryAfter)
	w.WriteHeader(r.status)
	if r.status != http.StatusNoContent && r.status != http.StatusNotModified {
		fmt.Fprint(w, `{"message":"no `+address+` here","error":{"message":"no `+address+` here"}}`)
	}
}

func (r refused) check(t *testing.T, s apiSuite, name string, err error) {
	t.Helper()
	call := s.wantCallError(t, name, err, r.kind)
	if after := outcome.Of(err).After(); call.Status != r.status || after.Round(10*time.Second) != r.wait.Round(10*time.Second) {
		t.Errorf("%s: status %d, after %v", name, call.Status, after)
	}
}

func (s apiSuite) refusals(t *testing.T) {
	for _, r := range refusals() {
		a := s.api(t, "", func(w http.ResponseWriter, _ *http.Request) { r.response(w) })
		for name, ask := range calls(a) {
			name = fmt.Sprintf("%s, %d", name, r.status)
			err := ask(t.Context(), Document)
			if strings.HasPrefix(name, "Open") && (r.status == http.StatusNotFound || r.status == http.StatusGone) {
				wantNotOpen(t, name, err, pack.Gone)
				continue
			}
			r.check(t, s, name, err)
		}
	}
}

// address is a signer's address. The test server's responses contain it; errors must not.
const address = "eric@example.com"

func (s apiSuite) garbage(t *testing.T) {
	for what, body := range map[string]string{
		"empty":         "",
		"a page":        "<html>" + address + "</html>",
		"a list":        "[]",
		"a text":        `"` + address + `"`,
		"null":          "null",
		"an object":     `{"message":"` + address + `"}`,
		"cut off":       s.s.Unsigned[:len(s.s.Unsigned)-2],
		"two responses": s.s.Unsigned + s.s.Unsigned,
		"over 1 MiB":    s.s.Unsigned + strings.Repeat(" ", 1<<20),
	} {
		a := s.api(t, "", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		for name, ask := range calls(a) {
			call := s.wantCallError(t, name+", "+what, ask(t.Context(), Document), outcome.Failed)
			if call.Err == nil {
				t.Errorf("%s, %s: %+v", name, what, call)
			}
		}
	}
}

// silent are ways to fail without a response; begin is called when the server has stopped sending.
var silent = map[string]func(w http.ResponseWriter, r *http.Request, begin func()){
	"hangs": func(_ http.ResponseWriter, r *http.Request, begin func()) {
		begin()
		<-r.Context().Done()
	},
	"hangs in the middle": func(w http.ResponseWriter, r *http.Request, begin func()) {
		fmt.Fprint(w, `{"`)
		_ = http.NewResponseController(w).Flush()
		begin()
		<-r.Context().Done()
	},
	"hangs up":               func(http.ResponseWriter, *http.Request, func()) { panic(http.ErrAbortHandler) },
	"hangs up in the middle": func(w http.ResponseWriter, _ *http.Request, _ func()) { hangUpInTheMiddle(w) },
}

func hangUpInTheMiddle(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "100")
	fmt.Fprint(w, `{"`)
	panic(http.ErrAbortHandler)
}

func (s apiSuite) silence(t *testing.T) {
	for what, behave := range silent {
		var mu sync.Mutex
		var end context.CancelFunc
		a := s.api(t, "", func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			cancel := end
			mu.Unlock()
			behave(w, r, cancel)
		})
		for name, ask := range calls(a) {
			ctx, cancel := context.WithCancel(t.Context())
			mu.Lock()
			end = cancel
			mu.Unlock()
			err := ask(ctx, Document)
			call := s.wantCallError(t, name+" "+what, err, outcome.Failed)
			if hangs := strings.HasPrefix(what, "hangs") && !strings.HasPrefix(what, "hangs up"); call.Status != 0 || hangs != errors.Is(err, context.Canceled) {
				t.Errorf("%s %s: %+v", name, what, call)
			}
			cancel()
		}
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, ask := range calls(s.apiAt(t, gone.URL, gone.Client())) {
		if call := s.wantCallError(t, name, ask(t.Context(), Document), outcome.Failed); call.Status != 0 {
			t.Errorf("%s, no server: %+v", name, call)
		}
	}
}

// limited checks that the client's own rate limit differs from the provider's: the provider was not called.
func (s apiSuite) limited(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("was called") }))
	t.Cleanup(server.Close)
	full := limit.NewLocal()
	if err := full.Pause(t.Context(), "k", time.Hour); err != nil {
		t.Fatal(err)
	}
	a := s.apiAt(t, server.URL, &http.Client{Transport: limit.Transport{
		Base: http.DefaultTransport, Limiter: full, Key: "k", Rate: limit.Rate{Count: 1, Per: time.Second, Burst: 1},
	}})
	for name, ask := range calls(a) {
		err := ask(t.Context(), Document)
		_ = s.wantCallError(t, name, err, outcome.Waits)
		if o := outcome.Of(err); o.After() < 59*time.Minute || !o.Quiet() || !errors.As(err, new(*limit.LaterError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// redirects checks that credentials stay on the host in the settings. Redirects within the host may be followed.
func (s apiSuite) redirects(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was called: %s %v", r.RequestURI, r.Header)
	}))
	t.Cleanup(elsewhere.Close)
	for _, to := range []string{elsewhere.URL + "/", strings.Replace(elsewhere.URL, "http:", "https:", 1) + "/"} {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect} {
			a := s.api(t, "", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, status) })
			for name, ask := range calls(a) {
				if call := s.wantCallError(t, name, ask(t.Context(), Document), outcome.Failed); call.Status != status {
					t.Errorf("%s: %+v", name, call)
				}
			}
		}
	}
	var followed atomic.Bool
	a := s.api(t, "", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/moved" {
			http.Redirect(w, r, "/moved", http.StatusTemporaryRedirect)
			return
		}
		followed.Store(true)
		fmt.Fprint(w, s.s.Unsigned)
	})
	if _, err := a.Document(t.Context(), Document); err != nil || !followed.Load() {
		t.Error("control: on its own host:", err)
	}
}
