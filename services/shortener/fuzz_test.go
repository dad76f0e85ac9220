package shortener

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// A text with a code begins with its 14 letters and digits, and gives the same code again. The rest of the text contains no letter or digit,
// except in the channel's suffix and in an escape.
func FuzzCode(f *testing.F) {
	for _, text := range []string{
		"abcdefghijklmn", "abcdefghijklmns", "abcdefghijklmne.", "abcdefghijklmn%20", "abcdefghijklmn&gt;", "abcdefghijklmn/", "ABCDEFGHIJKLMN",
		"abcdefghijklm1", "abcdefghijklmn\u200b", "abcdefghijklmnss", "*", ">", "abcdefghijklmn.>", strings.Repeat("a", 200), "", "abcdefghijklmn\xff",
	} {
		f.Add(text)
	}
	code14 := regexp.MustCompile(`^[a-z2-7]{14}$`)
	f.Fuzz(func(t *testing.T, text string) {
		code, channel, ok := readCode(text)
		if !ok {
			if code != "" || channel != "" {
				t.Fatalf("%q has no code, but the result is %q, %q", text, code, channel)
			}
			return
		}
		if !code14.MatchString(code) || !strings.HasPrefix(text, code) || len(text) > longestPath {
			t.Fatalf("%q is %q", text, code)
		}
		again, sameChannel, ok := readCode(text + ".")
		if len(text) < longestPath && ok && (again != code || sameChannel != channel) {
			t.Fatalf("%q is %q %q, and with a full stop %q %q", text, code, channel, again, sameChannel)
		}
		if rest := text[len(code):]; channel != "" && !strings.HasPrefix(rest, "s") && !strings.HasPrefix(rest, "e") {
			t.Fatalf("the channel of %q is %s", text, channel)
		}
		if other, _, ok := readCode(code + "x"); ok {
			t.Fatalf("one more letter is accepted as %q", other)
		}
	})
}

type responding func() *http.Response

func (r responding) RoundTrip(*http.Request) (*http.Response, error) { return r(), nil }

// unlimited never makes a call wait.
type unlimited struct{ limit.Limiter }

func (unlimited) Take(context.Context, string, limit.Rate, time.Duration) (time.Duration, bool, error) {
	return 0, true, nil
}
func (unlimited) Pause(context.Context, string, time.Duration) error { return nil }

// For each response of Bitly or Rebrandly, a signer gets a short http(s) address without credentials, or the failure has a bounded
// cause and contains neither our link nor the account.
func FuzzOutside(f *testing.F) {
	for _, body := range []string{
		`{"link":"https://go.acme.example/3abc"}`, `{"shortUrl":"go.acme.example/abc","destination":"https://sign.acme.example/l/abcdefghijklmn"}`,
		`[{"shortUrl":"go.acme.example/abc","destination":"https://sign.acme.example/l/abcdefghijklmn"}]`, `{"link":"javascript:alert(1)"}`,
		`{"link":"https://u:p@x.example/"}`, `{"message":"MONTHLY_LIMIT","errors":[{"error_code":"X"}]}`, `{"code":"AlreadyExists"}`, `{}`, `[]`, ``, `null`,
		`{"link":"https://x.example/ a"}`, `{"link":"//x.example"}`, `{"shortUrl":"user@x.example"}`,
	} {
		for _, status := range []uint16{200, 201, 400, 401, 402, 403, 429, 500} {
			f.Add(true, status-200, []byte(body), []byte(body))
			f.Add(false, status-200, []byte(body), []byte(body))
		}
	}
	causePattern := regexp.MustCompile(`^[a-z-]{1,40}$`)
	const secret = "secret-of-the-account"
	f.Fuzz(func(t *testing.T, asBitly bool, status uint16, first, second []byte) {
		calls := 0
		transport := responding(func() *http.Response {
			calls++
			code, body := 200+int(status)%400, first
			if calls > 1 {
				code, body = http.StatusOK, second
			}
			return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
		})
		var o outside
		if asBitly {
			b := newBitly(config.Fixed(shortenersettings.Shortener{Bitly: shortenersettings.Bitly{BaseURL: "https://api.example", Token: secret}}), unlimited{})
			b.client.Transport, o = transport, b
		} else {
			r := newRebrandly(config.Fixed(shortenersettings.Shortener{Rebrandly: shortenersettings.Rebrandly{BaseURL: "https://api.example", APIKey: secret}}), unlimited{})
			r.client.Transport, o = transport, r
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		short, err := o.shorten(ctx, ours)
		if calls > 10 {
			t.Fatalf("%d calls for one link", calls)
		}
		if err == nil {
			u, err := url.Parse(short)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || len(short) > longestShort || strings.ContainsFunc(short, unprintable) {
				t.Fatalf("%q, %v", short, err)
			}
			return
		}
		if o := outcome.Of(err); short != "" || o.Fault() == "" || !causePattern.MatchString(o.Cause()) || o.After() < 0 {
			t.Fatalf("%q, %T %v", short, err, err)
		}
		if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), ours) {
			t.Fatalf("%v", err)
		}
	})
}
