package shortener

import (
	"net/http"
	"strings"

	"github.com/x-way/crawlerdetect"
)

// Programs that fetch links: the name in the log, and a part of the User-Agent. The names are few, since each may write an
// event a day for each link.
var knownRobots = []struct{ name, sign string }{
	{"whatsapp", "whatsapp"},
	{"telegram", "telegrambot"},         // which adds "like TwitterBot"
	{"facebook", "facebookexternalhit"}, // so does iMessage
	{"facebook", "facebot"},
	{"facebook", "meta-external"},
	{"twitter", "twitterbot"},
	{"slack", "slack"},
	{"discord", "discord"},
	{"linkedin", "linkedin"},
	{"microsoft", "skypeuripreview"},
	{"microsoft", "bingbot"},
	{"microsoft", "bingpreview"},
	{"google", "google"},
	{"apple", "applebot"},
	{"viber", "viber"},
	{"bitly", "bitlybot"},
	{"rebrandly", "rebrandly"},
	{"proofpoint", "proofpoint"},
	{"mimecast", "mimecast"},
	{"barracuda", "barracuda"},
}

// The clients that fetched a link, beside the known robots.
const (
	otherRobot    = "other"    // a robot by its own User-Agent, or a HEAD request, that matches no known robot
	namelessRobot = "nameless" // without a User-Agent
	prefetcher    = "prefetch" // a browser that prefetches before a click
	browser       = "browser"  // calls itself a browser: a person, or a robot that does not say so
)

// robotOf returns the name of the program that sent a request, if it declares itself as one that fetches links before people
// do: the preview of a messenger, a mail scanner, a link checker. It is empty for all others, including robots that call
// themselves Chrome. A button, and not this function, protects the actions that robots must not trigger.
//
// It is wrong now and then, so a client that it takes for a robot still gets a button.
func robotOf(r *http.Request) string {
	agent := strings.TrimSpace(r.UserAgent())
	agent = agent[:min(len(agent), longestAgent)]
	if agent == "" {
		return namelessRobot
	}
	// The list has some 1,400 patterns, which take 0.2 ms for a phone's 140 bytes; what a robot calls itself stands early.
	if r.Method != http.MethodHead && !crawlerdetect.IsCrawler(agent) {
		return ""
	}
	agent = strings.ToLower(agent)
	for _, known := range knownRobots {
		if strings.Contains(agent, known.sign) {
			return known.name
		}
	}
	return otherRobot
}

const longestAgent = 512

// isPrefetch tells whether a browser asks before anybody has clicked.
func isPrefetch(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		for _, value := range r.Header.Values(name) {
			value = strings.ToLower(value)
			if strings.Contains(value, "prefetch") || strings.Contains(value, "prerender") || strings.Contains(value, "preview") {
				return true
			}
		}
	}
	return false
}

// fromElsewhere reports whether another site's page sent the request, according to the browser: the page pressed the button,
// and not the person. Without the header (older browsers) the request counts as ours, since the other page would have to know
// the secret code.
func fromElsewhere(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "cross-site"
}
