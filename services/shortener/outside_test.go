package shortener

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

const ours = "https://sign.acme.example/l/abcdefghijklmn"

// vendor is an outside shortener that behaves as documented.
type vendor struct {
	kind string
	// works is a working account; made contains each link that it makes, by its long address.
	works func(made *sync.Map) http.Handler
	// links is the response with a short link.
	links func(short string) string
}

var vendors = []vendor{
	{
		kind: "bitly",
		works: func(made *sync.Map) http.Handler {
			mux := http.NewServeMux()
			mux.HandleFunc("POST /base/v4/shorten", func(w http.ResponseWriter, r *http.Request) {
				var q map[string]any
				if r.Header.Get("Authorization") != "Bearer token" || r.Header.Get("Content-Type") != "application/json" ||
					json.NewDecoder(r.Body).Decode(&q) != nil || q["domain"] != "go.acme.example" || q["group_guid"] != "Bgroup" || q["force_new_link"] != false {
					w.WriteHeader(http.StatusTeapot)
					return
				}
				short, existed := made.LoadOrStore(q["long_url"], "https://go.acme.example/3abCdEf")
				if !existed {
					w.WriteHeader(http.StatusCreated)
				}
				_, _ = fmt.Fprintf(w, `{"references":{},"link":%q,"id":"go.acme.example/3abCdEf","long_url":%q,"archived":false}`, short, q["long_url"])
			})
			return mux
		},
		links: func(short string) string { return fmt.Sprintf(`{"link":%q}`, short) },
	},
	{
		kind: "rebrandly",
		works: func(made *sync.Map) http.Handler {
			taken := new(sync.Map) // destinations by slashtag
			response := func(tag any, to any) string {
				return fmt.Sprintf(`{"id":"1","slashtag":%q,"destination":%q,"shortUrl":"go.acme.example/%s","https":true}`, tag, to, tag)
			}
			authentic := func(r *http.Request) bool {
				return r.Header.Get("apikey") == "token" && r.Header.Get("workspace") == "space" && r.Header.Get("Authorization") == ""
			}
			mux := http.NewServeMux()
			mux.HandleFunc("POST /base/v1/links", func(w http.ResponseWriter, r *http.Request) {
				var q struct {
					Destination, Slashtag, Title string
					Domain                       struct{ FullName string }
				}
				if !authentic(r) || json.NewDecoder(r.Body).Decode(&q) != nil || q.Domain.FullName != "go.acme.example" ||
					!regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`).MatchString(q.Slashtag) || len(q.Title) < 3 {
					w.WriteHeader(http.StatusTeapot)
					return
				}
				if _, exists := taken.LoadOrStore(q.Slashtag, q.Destination); exists {
					w.WriteHeader(http.StatusForbidden)
					_, _ = io.WriteString(w, `{"property":"slashtag","message":"Already exists","code":"AlreadyExists"}`)
					return
				}
				made.Store(q.Destination, q.Slashtag)
				_, _ = io.WriteString(w, response(q.Slashtag, q.Destination))
			})
			mux.HandleFunc("GET /base/v1/links", func(w http.ResponseWriter, r *http.Request) {
				to, exists := taken.Load(r.URL.Query().Get("slashtag"))
				if !authentic(r) || r.URL.Query().Get("domain.fullName") != "go.acme.example" || !exists || r.ContentLength > 0 {
					w.WriteHeader(http.StatusTeapot)
					return
				}
				_, _ = io.WriteString(w, "["+response(r.URL.Query().Get("slashtag"), to)+"]")
			})
			return mux
		},
		links: func(short string) string {
			return fmt.Sprintf(`{"shortUrl":%q,"slashtag":"x","destination":%q}`, strings.TrimPrefix(short, "https://"), ours)
		},
	},
}

func (v vendor) open(t *testing.T, h http.Handler, limits limit.Limiter) outside {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	settings := shortenersettings.Shortener{
		Kind:      v.kind,
		Bitly:     shortenersettings.Bitly{Token: "token", Domain: "go.acme.example", Group: "Bgroup", BaseURL: server.URL + "/base"},
		Rebrandly: shortenersettings.Rebrandly{APIKey: "token", Workspace: "space", Domain: "go.acme.example", BaseURL: server.URL + "/base"},
	}
	return newOutside(config.Fixed(settings), limits)
}

// each runs a test for every vendor.
func each(t *testing.T, test func(*testing.T, vendor)) {
	t.Helper()
	for _, v := range vendors {
		t.Run(v.kind, func(t *testing.T) {
			t.Parallel()
			test(t, v)
		})
	}
}

func TestOutsideReturnsTheSameShortForm(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v vendor) {
		made := new(sync.Map)
		o := v.open(t, v.works(made), limit.NewLocal())
		first, err := o.shorten(t.Context(), ours)
		if err != nil || !strings.HasPrefix(first, "https://go.acme.example/") {
			t.Fatalf("%q, %v", first, err)
		}
		second, err := o.shorten(t.Context(), ours)
		if err != nil || second != first {
			t.Errorf("%q after %q, %v", second, first, err)
		}
		count := 0
		made.Range(func(long, _ any) bool {
			count++
			return long == ours
		})
		if count != 1 {
			t.Errorf("%d links were made", count)
		}
	})
}

// The vendor makes the link, but its response is lost: the next call returns the link.
func TestOutsideLostResponse(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v vendor) {
		made, works := new(sync.Map), http.Handler(nil)
		works = v.works(made)
		var lost atomic.Bool
		o := v.open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if lost.CompareAndSwap(false, true) {
				works.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			works.ServeHTTP(w, r)
		}), limit.NewLocal())
		_, err := o.shorten(t.Context(), ours)
		checkOutside(t, err, "no-answer", outcome.Failed, 0)
		if short, err := o.shorten(t.Context(), ours); err != nil || !strings.HasPrefix(short, "https://go.acme.example/") {
			t.Errorf("%q, %v", short, err)
		}
	})
}

func checkOutside(t *testing.T, err error, reason string, kind outcome.Kind, after time.Duration) {
	t.Helper()
	if o := outcome.Of(err); o.Cause() != reason || o.Kind() != kind || o.After() != after || o.Fault() == "" {
		t.Errorf("%+v: %+v, want %s, %v, %v", err, o, reason, kind, after)
	}
	if err != nil && (strings.Contains(err.Error(), "abcdefghijklmn") || strings.Contains(err.Error(), "token") || strings.Contains(err.Error(), "slashtag")) {
		t.Errorf("the error holds a secret: %v", err)
	}
}

func TestOutsideFailures(t *testing.T) {
	t.Parallel()
	const echo = `{"message":"about ` + ours + `","code":"about ` + ours + `"}`
	status := func(code int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, c := range []struct {
		name   string
		only   string // a vendor's kind; empty for all
		handle func(vendor) http.HandlerFunc
		reason string
		kind   outcome.Kind
		after  time.Duration
	}{
		{"400", "", func(vendor) http.HandlerFunc { return status(400, echo) }, "refused", outcome.GaveUp, 0},
		{"401", "", func(vendor) http.HandlerFunc { return status(401, "no") }, "credentials", outcome.Held, 0},
		{"402", "", func(vendor) http.HandlerFunc { return status(402, echo) }, "plan-limit", outcome.GaveUp, 0},
		{"417", "bitly", func(vendor) http.HandlerFunc { return status(417, echo) }, "refused", outcome.GaveUp, 0},
		{"422", "bitly", func(vendor) http.HandlerFunc {
			return status(422, `{"message":"INVALID_ARG_LONG_URL","errors":[{"field":"long_url","error_code":"invalid"}]}`)
		}, "refused", outcome.GaveUp, 0},
		{"403 is credentials", "bitly", func(vendor) http.HandlerFunc { return status(403, `{"message":"FORBIDDEN"}`) }, "credentials", outcome.Held, 0},
		{"monthly limit", "bitly", func(vendor) http.HandlerFunc {
			return status(429, `{"message":"MONTHLY_RATE_LIMIT_EXCEEDED"}`, "Retry-After", "7")
		}, "plan-limit", outcome.GaveUp, 7 * time.Second},
		{"monthly limit of a domain", "bitly", func(vendor) http.HandlerFunc {
			return status(403, `{"message":"FORBIDDEN","errors":[{"error_code":"BRANDED_LINK_MONTHLY_LIMIT_EXCEEDED"}]}`)
		}, "plan-limit", outcome.GaveUp, 0},
		{"403 is validation", "rebrandly", func(vendor) http.HandlerFunc {
			return status(403, `{"code":"InvalidFormat","property":"domain","message":"Invalid format"}`)
		}, "refused", outcome.GaveUp, 0},
		{"plan limit", "rebrandly", func(vendor) http.HandlerFunc {
			return status(403, `{"code":"Forbidden","errors":[{"code":"LinksLimitReached"}]}`)
		}, "plan-limit", outcome.GaveUp, 0},
		{"404", "", func(vendor) http.HandlerFunc { return status(404, "") }, "refused", outcome.GaveUp, 0},
		{"429", "", func(vendor) http.HandlerFunc { return status(429, "slow down", "Retry-After", "7") }, "throttled", outcome.Failed, 7 * time.Second},
		{"429 without a time", "", func(vendor) http.HandlerFunc { return status(429, "") }, "throttled", outcome.Failed, 0},
		{"500", "", func(vendor) http.HandlerFunc { return status(500, echo) }, "unavailable", outcome.Failed, 0},
		{"503", "", func(vendor) http.HandlerFunc { return status(503, "", "Retry-After", "9") }, "unavailable", outcome.Failed, 9 * time.Second},
		{"garbage", "", func(vendor) http.HandlerFunc { return status(200, "<html>"+ours) }, "unreadable", outcome.Failed, 0},
		{"empty", "", func(vendor) http.HandlerFunc { return status(200, "{}") }, "unusable", outcome.GaveUp, 0},
		{"half a response", "", func(v vendor) http.HandlerFunc {
			return status(200, v.links("https://go.acme.example/x")[:9], "Content-Length", "500")
		}, "no-answer", outcome.Failed, 0},
		{"a long response", "", func(vendor) http.HandlerFunc {
			return status(200, `{"x":"`+strings.Repeat("x", 2*largestResponse)+`","link":"https://go.acme.example/x"}`)
		}, "unreadable", outcome.Failed, 0},
		{"no web address", "", func(v vendor) http.HandlerFunc { return status(200, v.links("javascript://x/%0aalert(1)")) }, "unusable", outcome.GaveUp, 0},
		{"with a user", "", func(v vendor) http.HandlerFunc { return status(200, v.links("https://go@acme.example/x")) }, "unusable", outcome.GaveUp, 0},
		{"line break", "", func(v vendor) http.HandlerFunc { return status(200, v.links("https://go.acme.example/x y")) }, "unusable", outcome.GaveUp, 0},
		{"not short", "", func(v vendor) http.HandlerFunc {
			return status(200, v.links("https://go.acme.example/"+strings.Repeat("x", 80)))
		}, "unusable", outcome.GaveUp, 0},
		{"redirect", "", func(vendor) http.HandlerFunc { return status(307, "", "Location", "/base/elsewhere") }, "refused", outcome.GaveUp, 0},
	} {
		for _, v := range vendors {
			if c.only != "" && c.only != v.kind {
				continue
			}
			t.Run(v.kind+" "+c.name, func(t *testing.T) {
				t.Parallel()
				var calls atomic.Int32
				o := v.open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					calls.Add(1)
					c.handle(v)(w, r)
				}), limit.NewLocal())
				short, err := o.shorten(t.Context(), ours)
				checkOutside(t, err, c.reason, c.kind, c.after)
				if short != "" || calls.Load() != 1 {
					t.Errorf("%q after %d calls", short, calls.Load())
				}
			})
		}
	}
}

func TestOutsideShortenerThatHangs(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v vendor) {
		ctx, cancel := context.WithCancel(t.Context())
		o := v.open(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			cancel() // the vendor has the request, and the caller stops waiting
			<-r.Context().Done()
		}), limit.NewLocal())
		_, err := o.shorten(ctx, ours)
		checkOutside(t, err, "no-answer", outcome.Failed, 0)
	})
}

func TestOutsideObeysOurRateLimit(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v vendor) {
		limits := limit.NewLocal()
		o := v.open(t, v.works(new(sync.Map)), limits)
		if err := limits.Pause(t.Context(), "shortener/"+v.kind, time.Hour); err != nil {
			t.Fatal(err)
		}
		_, err := o.shorten(t.Context(), ours)
		if o := outcome.Of(err); o.Kind() != outcome.Waits || o.Reason() != "rate-limit" || o.After() < 50*time.Minute {
			t.Errorf("%v", err)
		}
	})
}

// The name for the link may belong to another account. Rebrandly may or may not return the link of that account.
func TestRebrandlyDoesNotUseForeignNames(t *testing.T) {
	t.Parallel()
	for _, shown := range []string{`[]`, `[{"slashtag":"%s","destination":"https://foreign.example","shortUrl":"go.acme.example/foreign"}]`} {
		for _, foreign := range []int{1, 2, 3} {
			names, mu := []string(nil), sync.Mutex{}
			o := vendors[1].open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					_, _ = io.WriteString(w, strings.ReplaceAll(shown, "%s", r.URL.Query().Get("slashtag")))
					return
				}
				var q struct{ Slashtag string }
				_ = json.NewDecoder(r.Body).Decode(&q)
				mu.Lock()
				names = append(names, q.Slashtag)
				count := len(names)
				mu.Unlock()
				if count <= foreign {
					w.WriteHeader(http.StatusForbidden)
					_, _ = io.WriteString(w, `{"code":"InvalidInput","errors":[{"code":"AlreadyExists","property":"slashtag"}]}`)
					return
				}
				_, _ = fmt.Fprintf(w, `{"shortUrl":"go.acme.example/%s","https":false}`, q.Slashtag)
			}), limit.NewLocal())
			short, err := o.shorten(t.Context(), ours)
			if foreign == slashtags {
				checkOutside(t, err, "taken", outcome.GaveUp, 0)
				continue
			}
			mu.Lock()
			want := "http://go.acme.example/" + names[foreign]
			if err != nil || short != want || len(names) != foreign+1 || names[0] == names[1] || len(names[1]) > 40 {
				t.Errorf("%d foreign names: %q, %v, requested %q", foreign, short, err, names)
			}
			mu.Unlock()
		}
	}
}

// The name is the short link itself, and the query of a failed call contains it.
func TestRebrandlyErrorsDoNotContainTheName(t *testing.T) {
	t.Parallel()
	o := vendors[1].open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"code":"AlreadyExists"}`)
	}), limit.NewLocal())
	_, err := o.shorten(t.Context(), ours)
	checkOutside(t, err, "no-answer", outcome.Failed, 0)
	if err == nil || strings.Contains(err.Error(), slashtag(ours, 0)) {
		t.Errorf("%v", err)
	}
}

// The rate limit allows ten concurrent calls, but only five have a connection.
func TestBitlyOpensFiveConnections(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	works := vendors[0].works(new(sync.Map))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		works.ServeHTTP(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	settings := shortenersettings.Bitly{Token: "token", Domain: "go.acme.example", Group: "Bgroup", BaseURL: server.URL + "/base"}
	o := newBitly(config.Fixed(shortenersettings.Shortener{Bitly: settings}), limit.NewLocal())

	calling := make(chan struct{}, 10)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GetConn: func(string) { calling <- struct{}{} }})
	var done sync.WaitGroup
	for range 10 {
		done.Go(func() {
			if _, err := o.shorten(ctx, ours); err != nil {
				t.Error(err)
			}
		})
	}
	for range 10 {
		<-calling // all calls need a connection …
	}
	for range bitlyAtOnce {
		<-arrived // … and five calls have one
	}
	close(release)
	done.Wait()
	if n := opened.Load(); n != bitlyAtOnce {
		t.Errorf("%d connections, want %d", n, bitlyAtOnce)
	}
}
