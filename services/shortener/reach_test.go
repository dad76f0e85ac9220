package shortener

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

func TestReachOfEachVendor(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v vendor) {
		status := http.StatusOK
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			known := map[string]bool{"/base/v4/user": r.Header.Get("Authorization") == "Bearer token", "/base/v1/account": r.Header.Get("Apikey") == "token"}
			if r.Method != http.MethodGet || !known[r.URL.Path] {
				t.Errorf("%s %s", r.Method, r.URL.Path)
			}
			w.WriteHeader(status)
		}))
		t.Cleanup(server.Close)
		reach := func() error {
			return Reach(t.Context(), shortenersettings.Shortener{
				Kind:      v.kind,
				Bitly:     shortenersettings.Bitly{Token: "token", BaseURL: server.URL + "/base"},
				Rebrandly: shortenersettings.Rebrandly{APIKey: "token", BaseURL: server.URL + "/base"},
			}, limit.NewLocal())
		}
		if err := reach(); err != nil {
			t.Error(err)
		}
		status = http.StatusUnauthorized
		checkOutside(t, reach(), "credentials", outcome.Held, 0)
		status = http.StatusBadGateway
		checkOutside(t, reach(), "unavailable", outcome.Failed, 0)
	})
}

func TestReach(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	s := shortenersettings.Shortener{Kind: "bitly", Bitly: shortenersettings.Bitly{BaseURL: gone.URL}}
	checkOutside(t, Reach(t.Context(), s, limit.NewLocal()), "no-answer", outcome.Failed, 0)
	s.Kind = "builtin"
	if err := Reach(t.Context(), s, limit.NewLocal()); err != nil {
		t.Error(err)
	}
}
