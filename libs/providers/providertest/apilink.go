package providertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// after tests failures of the second request: the document is found, and the request for the link fails.
func (s apiSuite) after(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was called: %s", r.RequestURI)
	}))
	t.Cleanup(elsewhere.Close)
	for purpose := range s.s.Then {
		for _, r := range refusals() {
			a := s.second(t, purpose, func(w http.ResponseWriter, _ *http.Request) { r.response(w) })
			_, err := a.Open(t.Context(), link(purpose))
			r.check(t, s, fmt.Sprintf("%s, %d", purpose, r.status), err)
		}
		for what, response := range map[string]http.HandlerFunc{
			"a page": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				fmt.Fprint(w, "<html>"+address+"</html>")
			},
			"nothing": func(http.ResponseWriter, *http.Request) {},
			"no address": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"url":null,"email":"`+address+`"}`)
			},
			"another scheme": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"url":"javascript:alert('`+address+`')"}`)
			},
			"half an address": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"url":"/sign/`+address+`"}`)
			},
			"another host": func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
			},
			"no more": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		} {
			_, err := s.second(t, purpose, response).Open(t.Context(), link(purpose))
			_ = s.wantCallError(t, string(purpose)+", "+what, err, outcome.Failed)
		}
		ctx, cancel := context.WithCancel(t.Context())
		a := s.second(t, purpose, func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		})
		if _, err := a.Open(ctx, link(purpose)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, hangs: %v", purpose, err)
		}
		s.late(t, purpose)
	}
}

// late checks that the response timeout also holds for the second request.
func (s apiSuite) late(t *testing.T, purpose pack.Purpose) {
	server := httptest.NewServer(s.documentThen(t, purpose, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	client := server.Client()
	client.Timeout = 250 * time.Millisecond
	_, err := s.apiAt(t, server.URL, client).Open(t.Context(), link(purpose))
	if call := s.wantCallError(t, string(purpose)+", late", err, outcome.Failed); call.Status != 0 || !strings.Contains(err.Error(), "in time") {
		t.Errorf("%s, late: %+v", purpose, call)
	}
}

// opened checks that the document is requested first, then the second path exactly, with credentials.
func (s apiSuite) opened(t *testing.T) {
	for purpose, path := range s.s.Then {
		asked := make(chan *http.Request, 1)
		a := s.second(t, purpose, func(w http.ResponseWriter, r *http.Request) {
			asked <- r
			w.WriteHeader(http.StatusTeapot) // the pack's own test covers the responses
		})
		if _, err := a.Open(t.Context(), link(purpose)); err == nil {
			t.Errorf("%s: opened a link despite status 418", purpose)
		}
		s.wantAsked(t, <-asked, path)
	}
}

// strangers checks that a valid link of a person who is not on the document causes no second request.
func (s apiSuite) strangers(t *testing.T) {
	for purpose, body := range map[pack.Purpose]string{pack.Sign: s.s.Unsigned, pack.Download: s.s.Completed} {
		a := s.api(t, "", func(w http.ResponseWriter, r *http.Request) {
			if r.RequestURI != s.s.Version+s.s.Document {
				t.Errorf("%s was requested", r.RequestURI)
			}
			fmt.Fprint(w, body)
		})
		for _, who := range []string{"another-person", ""} {
			_, err := a.Open(t.Context(), pack.Link{Document: Document, Recipient: who, Purpose: purpose})
			wantNotOpen(t, fmt.Sprintf("%s by %q", purpose, who), err, pack.Gone)
		}
	}
}

func link(purpose pack.Purpose) pack.Link {
	return pack.Link{Document: Document, Recipient: Recipient, Purpose: purpose}
}

// second responds with the document and passes the second request to a handler.
func (s apiSuite) second(t *testing.T, purpose pack.Purpose, then http.HandlerFunc) pack.API {
	return s.api(t, "", s.documentThen(t, purpose, then))
}

func (s apiSuite) documentThen(t *testing.T, purpose pack.Purpose, then http.HandlerFunc) http.HandlerFunc {
	first := s.s.Unsigned
	if purpose == pack.Download {
		first = s.s.Completed
	}
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.RequestURI {
		case s.s.Version + s.s.Document:
			fmt.Fprint(w, first)
		case s.s.Version + s.s.Then[purpose]:
			then(w, r)
		default:
			t.Errorf("%s was requested", r.RequestURI)
		}
	}
}
