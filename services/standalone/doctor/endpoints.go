package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/telemetry"
	"github.com/signrelay/signrelay/services/shortener"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// links requests a short link that does not exist, at the public address of the links. The shortener returns 404 with a header that
// identifies it.
func (e *examination) links(ctx context.Context) []Finding {
	const (
		check = "public_url"
		fix   = "configure the proxy of shortener.public_url to forward /l/ to the shortener (links.addr; in standalone ingest.addr)"
	)
	base := shortenersettings.Section.Of(e.cfg).PublicURL
	if base == "" {
		return []Finding{{check, Fail, "shortener.public_url is empty: the shortener does not start", "set the address with which the signers' links begin"}}
	}
	status, header, err := get(ctx, http.MethodGet, base+"/l/"+shortener.DoctorCode)
	switch {
	case err != nil:
		return []Finding{{check, Fail, masked(err), fix + ", and check that the shortener runs"}}
	case status == http.StatusTooManyRequests:
		return []Finding{{check, Warn, "the shortener got too many requests from this machine", "run the doctor again in a minute; behind a proxy, set shortener.trusted_proxies"}}
	case status != http.StatusNotFound || !strings.Contains(header.Get("X-Robots-Tag"), "noindex"):
		return []Finding{{check, Fail, fmt.Sprintf("the response does not come from the shortener: status %d", status), fix}}
	case header.Get(shortener.ProxyHeader) == shortener.ProxyUnnamed:
		return []Finding{{check, Warn, "the shortener responds, but through a proxy that is missing in shortener.trusted_proxies: all clients behind it share one limit for wrong codes",
			"set shortener.trusted_proxies to the proxy's network"}}
	case !strings.HasPrefix(base, "https://") && !loopbackURL(base):
		return []Finding{{check, Warn, "the shortener responds, but without TLS", "set an address that begins with https://"}}
	default:
		return []Finding{passed(check, "the shortener responds")}
	}
}

// receipts sends an unsigned receipt to the address that Vonage calls. Only our own listener refuses it with this response.
func (e *examination) receipts(ctx context.Context) []Finding {
	base := smssettings.VonageSection.Of(e.cfg).ReceiptsURL
	if base == "" || len(e.cfg.Sources) == 0 {
		return nil
	}
	return []Finding{e.endpoint(ctx, "receipts_url", http.MethodGet, base+"/receipts/vonage/"+e.cfg.Sources[0].Name, http.StatusUnauthorized,
		"configure the proxy of sms.vonage.receipts_url to forward /receipts/ to sms-sender (receipts.addr; in standalone ingest.addr)")}
}

// unknownSource is longer than 32 characters, the maximum of a source's name, so no settings contain it.
const unknownSource = "signrelay-doctor-unknown-source-name"

// ingest sends a callback of an unknown source to the address that providers call.
func (e *examination) ingest(ctx context.Context) []Finding {
	if e.IngestURL == "" || len(e.cfg.Sources) == 0 {
		return nil
	}
	p, known := providers.ByName(e.cfg.Sources[0].Provider)
	if !known || len(p.Routes) == 0 {
		return nil
	}
	return []Finding{e.endpoint(ctx, "ingest", http.MethodPost, e.IngestURL+"/webhooks/"+p.Name+"/"+unknownSource+p.Routes[0].Path, http.StatusNotFound,
		"check that ingest runs, and that --ingest-url leads to ingest.addr")}
}

// endpoint calls one of our own endpoints, which refuses the request with a problem+json of the wanted status.
func (e *examination) endpoint(ctx context.Context, check, method, address string, want int, fix string) Finding {
	status, header, err := get(ctx, method, address)
	switch {
	case err != nil:
		return Finding{check, Fail, masked(err), fix}
	case status != want || !strings.HasPrefix(header.Get("Content-Type"), "application/problem+json"):
		return Finding{check, Fail, fmt.Sprintf("the response does not come from Signrelay: status %d", status), fix}
	default:
		return passed(check, "reached")
	}
}

func get(ctx context.Context, method, address string) (int, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return 0, nil, errors.New("not a URL")
	}
	client := &http.Client{Timeout: 2 * connectTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	began := time.Now()
	response, err := client.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("no response after %d ms: %w", time.Since(began).Milliseconds(), telemetry.WithoutURL(err))
	}
	_ = response.Body.Close()
	return response.StatusCode, response.Header, nil
}

func loopbackURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && loopback(u.Hostname())
}
