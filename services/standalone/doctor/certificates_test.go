package doctor_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/realtest"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	"github.com/signrelay/signrelay/services/standalone/doctor"
)

// The doctor says why callers refuse the certificate at the public address.
func TestDoctorChecksCertificates(t *testing.T) {
	t.Parallel()
	authority := realtest.NewAuthority(t)
	server := func(change func(*tls.Config)) string {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.TLS = authority.Server(false)
		change(s.TLS)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	today := server(func(*tls.Config) {})
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for name, c := range map[string]struct {
		address, ca string
		status      doctor.Status
		found       string
	}{
		"trusted":              {today, authority.PEM, doctor.OK, "trusted, valid for 0 days, TLS 1.2 and newer"},
		"an unknown authority": {today, "", doctor.Fail, "the intermediate one of its authority is missing, or the authority is unknown"},
		"another name":         {strings.Replace(today, "127.0.0.1", "localhost", 1), authority.PEM, doctor.Fail, "and not for localhost"},
		"TLS 1.3 only":         {server(func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }), authority.PEM, doctor.Warn, "TLS 1.2 is refused"},
		"no TLS":               {strings.Replace(plain.URL, "http:", "https:", 1), authority.PEM, doctor.Fail, "no TLS connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Default()
			cfg.NATS.URL = "nats://127.0.0.1:1"
			shortenersettings.Section.In(&cfg).PublicURL = c.address
			cfg.TLS.ACME.CA = c.ca
			host, _, _ := strings.Cut(strings.TrimPrefix(c.address, "https://"), ":")
			examine(t, cfg, doctor.Options{}).want(t, "certificate "+host, c.status, c.found)
		})
	}
}
