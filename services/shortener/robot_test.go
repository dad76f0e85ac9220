package shortener

import (
	"net/http"
	"testing"

	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

func TestNetworkOfAVisitor(t *testing.T) {
	t.Parallel()
	behind := newVisitors(shortenersettings.Shortener{TrustedProxies: []string{"10.0.0.0/8", "fd00::/8"}}, nil)
	alone := newVisitors(shortenersettings.Shortener{}, nil)
	type visit struct{ remote, forwarded string }
	for _, c := range []struct {
		v    visitors
		a, b visit
		same bool
	}{
		{alone, visit{"192.0.2.1:1000", ""}, visit{"192.0.2.1:2000", ""}, true},
		{alone, visit{"192.0.2.1:1000", ""}, visit{"192.0.2.2:1000", ""}, false},
		{alone, visit{"192.0.2.1:1000", ""}, visit{"[::ffff:192.0.2.1]:1000", ""}, true},
		{alone, visit{"[2001:db8:1:2::1]:1", ""}, visit{"[2001:db8:1:2:ffff::9]:2", ""}, true},
		{alone, visit{"[2001:db8:1:2::1]:1", ""}, visit{"[2001:db8:1:3::1]:1", ""}, false},
		{alone, visit{"[fe80::1%eth0]:1", ""}, visit{"[fe80::1]:1", ""}, true},
		// The handler trusts only our own proxies.
		{alone, visit{"10.0.0.1:1", "192.0.2.1"}, visit{"10.0.0.1:1", "192.0.2.2"}, true},
		{behind, visit{"192.0.2.9:1", "192.0.2.1"}, visit{"192.0.2.9:1", "192.0.2.2"}, true},
		// Behind one of our proxies each client counts separately. A header from the client itself has no effect.
		{behind, visit{"10.0.0.1:1", "192.0.2.1"}, visit{"10.0.0.1:1", "192.0.2.2"}, false},
		{behind, visit{"10.0.0.1:1", "192.0.2.1"}, visit{"10.0.0.2:1", "192.0.2.1, 10.0.0.7"}, true},
		{behind, visit{"10.0.0.1:1", "8.8.8.8, 192.0.2.1"}, visit{"[fd00::1]:1", "9.9.9.9, 192.0.2.1"}, true},
		{behind, visit{"10.0.0.1:1", "unknown"}, visit{"10.0.0.1:1", ""}, true},
	} {
		key := func(at visit) string {
			r := &http.Request{RemoteAddr: at.remote, Header: http.Header{}}
			if at.forwarded != "" {
				r.Header.Set("X-Forwarded-For", at.forwarded)
			}
			return networkOf(c.v.client(r))
		}
		if got := key(c.a) == key(c.b); got != c.same {
			t.Errorf("%v and %v are one client: %v", c.a, c.b, got)
		}
	}
}

func TestRobotOf(t *testing.T) {
	t.Parallel()
	const (
		person = ""
		chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0"
	)
	for agent, want := range map[string]string{
		"": namelessRobot, " ": namelessRobot,
		"curl/8.5.0": otherRobot, "python-requests/2.31": otherRobot, "Go-http-client/1.1": otherRobot,
		"TelegramBot (like TwitterBot)":                                                                   "telegram",
		"WhatsApp/2.23.20.0 A":                                                                            "whatsapp",
		"Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)":                                      "slack",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)":                        "google",
		"Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)":                               "discord",
		"LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://x.io)":                       "linkedin",
		"BitlyBot/3.0 (+http://bitly.com/)":                                                               "bitly",
		"Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com": "microsoft",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0": "facebook",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1":                             person,
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/300.0 Mobile/15E148 Safari/604.1":                                person,
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 300.0":                                       person,
		"Mozilla/5.0 (Linux; Android 14; CUBOT X70) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Mobile Safari/537.36":                                                 person,
		chrome: person,
	} {
		r := &http.Request{Method: http.MethodGet, Header: http.Header{"User-Agent": {agent}}}
		if got := robotOf(r); got != want {
			t.Errorf("%q is the robot %q, want %q", agent, got, want)
		}
	}
	head := &http.Request{Method: http.MethodHead, Header: http.Header{"User-Agent": {chrome}}}
	if got := robotOf(head); got != otherRobot {
		t.Errorf("HEAD comes from %q", got)
	}
	if len(knownRobots) > 30 {
		t.Errorf("%d names of robots; each can cause one event a day for each link", len(knownRobots))
	}
}
