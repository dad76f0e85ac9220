package notification_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/signrelay/signrelay/libs/notification"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

func TestLinksAreThoseOfTheSettings(t *testing.T) {
	t.Parallel()
	settings := map[string]shortenersettings.Shortener{
		"own":       {Kind: "builtin", PublicURL: "https://sign.acme.example", Bitly: shortenersettings.Bitly{Domain: "bit.ly"}},
		"own, path": {Kind: "builtin", PublicURL: "http://acme.example:8083/sign/"},
		"bitly":     {Kind: "bitly", PublicURL: "https://sign.acme.example", Bitly: shortenersettings.Bitly{Domain: "Go.Acme.example"}},
		"rebrandly": {Kind: "rebrandly", PublicURL: "https://sign.acme.example", Rebrandly: shortenersettings.Rebrandly{Domain: "rebrand.ly"}},
	}
	for _, test := range []struct {
		settings, link string
		ours           bool
	}{
		{"own", "https://sign.acme.example/l/abcdefghijklmns", true},
		{"own", "https://bit.ly/abcdefg", false},
		{"own, path", "http://acme.example:8083/sign/l/abc", true},
		{"own, path", "http://acme.example:8083/l/abc", false},
		{"own, path", "http://acme.example/sign/l/abc", false},
		{"own, path", "https://acme.example:8083/sign/l/abc", false},
		{"bitly", "https://go.acme.example/3abCdEf", true},
		{"bitly", "http://go.acme.example/3abCdEf", true},
		{"bitly", "https://sign.acme.example/l/abcdefghijklmns", true}, // if Bitly returned no link
		{"bitly", "https://bit.ly/abcdefg", false},
		{"bitly", "https://go.acme.example.evil.example/3abCdEf", false},
		{"rebrandly", "https://rebrand.ly/a-b_c", true},
		{"rebrandly", "https://rebrand.ly/a/b", false},
		{"rebrandly", "https://rebrand.ly/", false},
	} {
		links, err := notification.NewLinks(settings[test.settings].PublicURL, settings[test.settings].Domain())
		if err != nil {
			t.Fatal(err)
		}
		if links.Ours(test.link) != test.ours {
			t.Errorf("%s: %s is ours: %v", test.settings, test.link, !test.ours)
		}
	}
	for _, bad := range []string{"", "sign.acme.example", "ftp://sign.acme.example", "https://a@sign.acme.example", "https://sign.acme.example?x=1"} {
		if _, err := notification.NewLinks(bad, ""); err == nil {
			t.Errorf("%q is accepted as the base of links", bad)
		}
	}
}

// Each of our links is our base and one code of letters, digits, dashes and underscores.
func TestALinkIsItsBaseAndOneCode(t *testing.T) {
	t.Parallel()
	const base = "https://sign.acme.example/l/"
	links, err := notification.NewLinks("https://sign.acme.example", "")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.String(),
			rapid.Map(rapid.String(), func(s string) string { return base + s }),
			rapid.Map(rapid.StringMatching(`[a-z.:@/\\%?#]{0,20}`), func(s string) string { return "https://sign.acme.example" + s + "/l/abc" }),
		).Draw(t, "text")
		name, found := strings.CutPrefix(text, base)
		want := found && name != "" && len(name) <= 64 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
		if links.Ours(text) != want {
			t.Errorf("%q is ours: %v", text, !want)
		}
	})
}
