package providertest

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Fuzz gives arbitrary requests to a pack, beginning with its recordings. No request causes a panic. An unauthentic request is
// ErrUnauthentic. A readable request gives valid events, the same events twice. Any other request is a *pack.UnreadableError.
func Fuzz(f *testing.F, p pack.Pack, s Setup) {
	for _, name := range recordings(f, p) {
		r := request(f, p, s, name)
		route := 0
		for i, d := range p.Routes {
			if d.Path == r.Route {
				route = i
			}
		}
		f.Add(uint8(route), r.Method == http.MethodGet, r.Header.Get("Content-Type"), r.Header.Get(s.Credentials[0]), r.Query.Encode(), r.Body)
	}
	w := webhook(f, p, s.Source)

	f.Fuzz(func(t *testing.T, route uint8, get bool, contentType, credential, query string, body []byte) {
		values, _ := url.ParseQuery(query)
		r := pack.Request{
			Method:     http.MethodPost,
			Route:      p.Routes[int(route)%len(p.Routes)].Path,
			Header:     http.Header{},
			Query:      values,
			Body:       body,
			ReceivedAt: receivedAt,
		}
		if get {
			r.Method = http.MethodGet
		}
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		if credential != "" {
			r.Header.Set(s.Credentials[0], credential)
		}

		checkResponses(t, p, r)
		if _, err := w.Verify(r); err != nil && !errors.Is(err, pack.ErrUnauthentic) {
			t.Errorf("%v is not ErrUnauthentic", err)
		}
		// Most fuzzed requests are not authentic. Normalize must handle them anyway.
		for _, v := range []signingv1.Verification{signingv1.Verification_VERIFICATION_TOKEN, signingv1.Verification_VERIFICATION_RSA} {
			events, err := w.Normalize(r, v)
			if errors.Is(err, pack.ErrNothing) && len(events) == 0 {
				continue
			}
			if err != nil {
				checkUnreadable(t, err)
				if len(events) > 0 {
					t.Errorf("%d events and %v", len(events), err)
				}
				continue
			}
			checkLegal(t, s.Source, p, events)
			again, err := w.Normalize(r, v)
			if err != nil || !bytes.Equal(marshal(t, events), marshal(t, again)) {
				t.Errorf("not equal when normalized twice (%v)", err)
			}
		}
	})
}
