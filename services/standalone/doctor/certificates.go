package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/services/shortener"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// certificates checks the certificate at each public https address as a caller does, whether our own listener has it or a proxy in front.
func (e *examination) certificates(ctx context.Context) []Finding {
	addresses := []string{shortenersettings.Section.Of(e.cfg).PublicURL, smssettings.VonageSection.Of(e.cfg).ReceiptsURL, e.IngestURL}
	for _, name := range e.cfg.TLS.ACME.Domains {
		addresses = append(addresses, "https://"+name)
	}
	roots, err := e.roots()
	if err != nil {
		return []Finding{{"certificate", Fail, masked(err), "correct tls.acme.ca"}}
	}
	var all []Finding
	var seen []string
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" {
			continue
		}
		at := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
		if slices.Contains(seen, at) || slices.ContainsFunc(seen, func(other string) bool { return sameName(other, at) && address == "https://"+u.Hostname() }) {
			continue // a domain that is checked at the port of its address
		}
		seen = append(seen, at)
		all = append(all, e.certificate(ctx, at, u.Hostname(), roots)...)
	}
	return append(all, e.redirect(ctx)...)
}

func sameName(a, b string) bool {
	hostA, _, _ := net.SplitHostPort(a)
	hostB, _, _ := net.SplitHostPort(b)
	return hostA == hostB
}

// roots are the authorities that callers trust: those of this machine, and that of the settings.
func (e *examination) roots() (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if ca := e.cfg.TLS.ACME.CA; ca != "" && !roots.AppendCertsFromPEM([]byte(ca)) {
		return nil, errors.New("tls.acme.ca: want PEM of certificates")
	}
	return roots, nil
}

// certificate checks the certificate at one address.
func (e *examination) certificate(ctx context.Context, at, host string, roots *x509.CertPool) []Finding {
	check := "certificate " + host
	state, err := handshake(ctx, at, host, 0)
	if err != nil {
		return []Finding{{check, Fail, "no TLS connection to " + at + ": " + masked(err),
			"check the DNS record and the firewall, and that the listener or the proxy there has a certificate for the name"}}
	}
	if found, fix := refusedFor(state.PeerCertificates, host, roots, time.Now()); found != "" {
		return []Finding{{check, Fail, found, fix}}
	}
	leaf := state.PeerCertificates[0]
	left := time.Until(leaf.NotAfter)
	days := int(left.Hours() / 24)
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	if left < min(config.AlertBefore, life/3) {
		return []Finding{{check, Warn, fmt.Sprintf("the certificate expires in %d days, at %s", days, leaf.NotAfter.UTC().Format(time.RFC3339)), e.renew()}}
	}
	if _, err := handshake(ctx, at, host, tls.VersionTLS12); err != nil {
		return []Finding{{check, Warn, "TLS 1.2 is refused, and some providers speak no newer version: " + masked(err), "allow TLS 1.2 in the proxy's settings"}}
	}
	return []Finding{passed(check, "trusted, valid for %d days, TLS 1.2 and newer", days)}
}

// renew is the fix for a certificate that ends soon.
func (e *examination) renew() string {
	switch {
	case e.cfg.TLS.ACME.Set():
		return "read the check acme in /readyz?verbose and the log: the renewal fails"
	case e.cfg.TLS.Set():
		return "replace the files of tls.certificate and tls.key; no restart is needed"
	default:
		return "renew the certificate of the proxy"
	}
}

// handshake connects and returns what the other side shows. It verifies nothing, so that a wrong certificate can be described.
func handshake(ctx context.Context, at, host string, newest uint16) (tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, MaxVersion: newest, InsecureSkipVerify: true}} //nolint:gosec // nothing is sent
	conn, err := dialer.DialContext(ctx, "tcp", at)
	if err != nil {
		return tls.ConnectionState{}, err //nolint:wrapcheck // the finding says what was tried
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState(), nil //nolint:forcetypeassert // tls.Dialer makes it
}

// refusedFor returns the reason for which callers refuse a chain of certificates, and the fix; empty if they accept it.
func refusedFor(chain []*x509.Certificate, host string, roots *x509.CertPool, now time.Time) (found, fix string) {
	leaf := chain[0]
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	switch {
	case now.After(leaf.NotAfter):
		return "the certificate expired at " + leaf.NotAfter.UTC().Format(time.RFC3339), "replace it now: providers and signers are refused"
	case now.Before(leaf.NotBefore):
		return "the certificate is not valid before " + leaf.NotBefore.UTC().Format(time.RFC3339), "check the clocks of this machine and of the listener"
	case leaf.VerifyHostname(host) != nil:
		return fmt.Sprintf("the certificate is for %s and not for %s", strings.Join(leaf.DNSNames, ", "), host), "get a certificate that has the name"
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now})
	switch {
	case err == nil:
		return "", ""
	case string(leaf.RawIssuer) == string(leaf.RawSubject):
		return "the certificate is signed by itself", "get one of a public authority, or set tls.acme"
	case len(chain) == 1:
		return "only the listener's own certificate is sent: the intermediate one of its authority is missing, or the authority is unknown",
			"append the intermediate certificate to the file of the certificate; if the authority is your own, providers do not trust it"
	default:
		return "no authority that this machine trusts issued the certificate: " + masked(err),
			"get a certificate of a public authority (a staging server of an ACME authority is none); if callers trust your own authority, name it in SSL_CERT_FILE"
	}
}

// redirect checks that plain HTTP leads to https for links.
func (e *examination) redirect(ctx context.Context) []Finding {
	base := shortenersettings.Section.Of(e.cfg).PublicURL
	u, err := url.Parse(base)
	if e.cfg.TLS.RedirectAddr == "" || err != nil || u.Scheme != "https" {
		return nil
	}
	const check = "redirect"
	plain := url.URL{Scheme: "http", Host: u.Hostname(), Path: "/l/" + shortener.DoctorCode}
	status, header, err := get(ctx, http.MethodGet, plain.String())
	switch {
	case err != nil:
		return []Finding{{check, Warn, "no response at port 80: " + masked(err), "let port 80 lead to tls.redirect_addr, or leave that setting empty"}}
	case status != http.StatusPermanentRedirect || header.Get("Location") != base+plain.Path:
		return []Finding{{check, Warn, fmt.Sprintf("plain HTTP does not lead to the links: status %d", status), "let port 80 lead to tls.redirect_addr"}}
	default:
		return []Finding{passed(check, "plain HTTP leads to https")}
	}
}
