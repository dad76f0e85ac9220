package providertest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

var callText = regexp.MustCompile(`^[A-Z]+ [a-z -]+`)

// FuzzAPI gives arbitrary responses to a pack's REST client, beginning with those of its setup. No response causes a panic. A failure is one
// of the errors that pack.API names, and contains no secret. A document has the requested id. A link leads to an http or https address, or to
// a document's bytes.
func FuzzAPI(f *testing.F, p pack.Pack, s APISetup) {
	const secret = "secret-of-the-response"
	for _, seed := range []string{s.Unsigned, s.Completed, s.Everything, `{"url":"https://x.example/` + secret + `"}`, `"https://x.example"`, "[]", ""} {
		f.Add(uint16(http.StatusOK), []byte(seed), []byte(seed))
		f.Add(uint16(http.StatusNotFound), []byte(seed), []byte(`{}`))
		f.Add(uint16(http.StatusOK), []byte(s.Unsigned), []byte(seed))
		f.Add(uint16(http.StatusOK), []byte(s.Completed), []byte(seed))
	}
	source := s.Source
	source.API.BaseURL = "https://api.example"
	var (
		asked int
		now   func(call int) (int, []byte)
	)
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		asked++
		status, body := now(asked)
		return &http.Response{
			StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(body)),
			Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)),
		}, nil
	})}
	a, err := p.API(source, client)
	if err != nil {
		f.Fatal(err)
	}
	suite := apiSuite{p, s}

	f.Fuzz(func(t *testing.T, status uint16, first, second []byte) {
		now = func(call int) (int, []byte) {
			if call == 1 {
				return 200 + int(status)%400, first
			}
			return http.StatusOK, second
		}
		check := func(err error) {
			var (
				call *pack.CallError
				not  *pack.NotOpenError
			)
			if !errors.As(err, &call) && !errors.As(err, &not) && !errors.Is(err, pack.ErrNotOurs) {
				t.Errorf("%T: %v", err, err)
			}
			if call != nil && !callText.MatchString(call.Op) {
				t.Errorf("%q", call.Op)
			}
			suite.wantNoLeak(t, err, secret, Document, Recipient)
		}

		asked = 0
		if d, err := a.Document(t.Context(), Document); err != nil {
			check(err)
		} else if d.ID != Document {
			t.Errorf("requested %s, got %s", Document, d.ID)
		}
		for _, purpose := range []pack.Purpose{pack.Sign, pack.Download} {
			asked = 0
			target, err := a.Open(t.Context(), pack.Link{Document: Document, Recipient: Recipient, Purpose: purpose})
			if err != nil {
				check(err)
				continue
			}
			if (target.URL == "") == (target.Body == nil) {
				t.Errorf("an address and a document, or neither: %+v", target)
			}
			if target.Body != nil {
				_ = target.Body.Close()
				continue
			}
			if u, err := url.Parse(target.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				t.Errorf("%s leads to %q", purpose, target.URL)
			}
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
