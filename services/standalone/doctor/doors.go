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
	"github.com/signrelay/signrelay/services/shortener"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// links asks for a short link that nobody made, at the address that signers' links begin with: the shortener says 404,
// and as nobody else would.
func (e *examination) links(ctx context.Context) []Finding {
	const (
		check = "public_url"
		mend  = "let the proxy before shortener.public_url pass /l/ on to the shortener (links.addr; in standalone ingest.addr)"
	)
	base := shortenersettings.Section.Of(e.cfg).PublicURL
	if base == "" {
		return []Finding{{check, Fail, "shortener.public_url is empty: the shortener does not start", "set the address that signers' links begin with"}}
	}
	status, header, err := knock(ctx, http.MethodGet, base+"/l/"+shortener.DoctorCode)
	switch {
	case err != nil:
		return []Finding{{check, Fail, told(err), mend + "; is it running?"}}
	case status == http.StatusTooManyRequests:
		return []Finding{{check, Warn, "the shortener has had too many requests from here", "look again in a minute; behind a proxy set shortener.trusted_proxies"}}
	case status != http.StatusNotFound || !strings.Contains(header.Get("X-Robots-Tag"), "noindex"):
		return []Finding{{check, Fail, fmt.Sprintf("somebody else than the shortener answers there, with status %d", status), mend}}
	case header.Get(shortener.ProxyHeader) == shortener.ProxyUnnamed:
		return []Finding{{check, Warn, "the shortener answers, through a proxy that shortener.trusted_proxies does not name: all who guess codes count as one client",
			"set shortener.trusted_proxies to the proxy's network"}}
	case !strings.HasPrefix(base, "https://") && !loopbackURL(base):
		return []Finding{{check, Warn, "the shortener answers, but in the clear", "let it begin with https://"}}
	default:
		return []Finding{fine(check, "the shortener answers there")}
	}
}

// receipts brings a receipt that nobody signed to where Vonage brings them: it is refused as only our door refuses.
func (e *examination) receipts(ctx context.Context) []Finding {
	base := e.cfg.SMS.Vonage.ReceiptsURL
	if base == "" || len(e.cfg.Sources) == 0 {
		return nil
	}
	return []Finding{e.door(ctx, "receipts_url", http.MethodGet, base+"/receipts/vonage/"+e.cfg.Sources[0].Name, http.StatusUnauthorized,
		"let the proxy before sms.vonage.receipts_url pass /receipts/ on to the sms-sender (receipts.addr; in standalone ingest.addr)")}
}

// nobodysSource is one that no settings have: 32 characters are the longest that a name may be.
const nobodysSource = "signrelay-doctor-is-no-source-of-yours"

// ingest brings a callback of a source that there is not to where providers bring theirs.
func (e *examination) ingest(ctx context.Context) []Finding {
	if e.IngestURL == "" || len(e.cfg.Sources) == 0 {
		return nil
	}
	p, known := providers.ByName(e.cfg.Sources[0].Provider)
	if !known || len(p.Routes) == 0 {
		return nil
	}
	return []Finding{e.door(ctx, "ingest", http.MethodPost, e.IngestURL+"/webhooks/"+p.Name+"/"+nobodysSource+p.Routes[0].Path, http.StatusNotFound,
		"is ingest running, and does --ingest-url lead to ingest.addr?")}
}

// door knocks where one of our own doors refuses with a problem+json of that status.
func (e *examination) door(ctx context.Context, check, method, address string, want int, mend string) Finding {
	status, header, err := knock(ctx, method, address)
	switch {
	case err != nil:
		return Finding{check, Fail, told(err), mend}
	case status != want || !strings.HasPrefix(header.Get("Content-Type"), "application/problem+json"):
		return Finding{check, Fail, fmt.Sprintf("somebody else answers there, with status %d", status), mend}
	default:
		return fine(check, "reached")
	}
}

func knock(ctx context.Context, method, address string) (int, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return 0, nil, errors.New("it makes no URL")
	}
	client := &http.Client{Timeout: 2 * connectWithin, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	began := time.Now()
	answer, err := client.Do(r)
	if err != nil {
		if in := new(url.Error); errors.As(err, &in) {
			err = in.Err // without the address
		}
		return 0, nil, fmt.Errorf("no answer after %d ms: %w", time.Since(began).Milliseconds(), err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode, answer.Header, nil
}

func loopbackURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && loopback(u.Hostname())
}
