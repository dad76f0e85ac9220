package shortener

import (
	"net/http"
	"strings"

	"github.com/x-way/crawlerdetect"
)

// Programs that fetch links: the name in the log, and a part of the User-Agent. There are few names, because each may cause one event a day
// for each link.
var knownRobots = []struct{ name, sign string }{
	{"whatsapp", "whatsapp"},
	{"telegram", "telegrambot"},         // its User-Agent adds "like TwitterBot"
	{"facebook", "facebookexternalhit"}, // iMessage too
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

// Other clients that fetch a link.
const (
	otherRobot    = "other"    // an unknown robot, by its User-Agent or by a HEAD request
	namelessRobot = "nameless" // without a User-Agent
	prefetcher    = "prefetch" // a browser that prefetches before a click
	browser       = "browser"  // a browser according to its User-Agent: a person, or a disguised robot
)

// robotOf returns the name of the program that sent a request, if its User-Agent declares a program that fetches links before people do: a
// messenger's preview, a mail scanner, a link checker. It returns "" for all other clients, also for robots that declare themselves as
// Chrome. The button, and not this function, protects the actions that robots must not trigger.
//
// It is sometimes wrong, so a client that it classifies as a robot still gets a button.
func robotOf(r *http.Request) string {
	agent := strings.TrimSpace(r.UserAgent())
	agent = agent[:min(len(agent), longestAgent)]
	if agent == "" {
		return namelessRobot
	}
	// The list has about 1,400 patterns, which take 0.2 ms for a phone's 140 bytes. A robot's name is near the beginning of the text.
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

// isPrefetch reports whether a browser sent the request before a click.
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

// fromElsewhere reports whether, according to the browser, another site's page sent the request, and not the person. A request without the
// header (older browsers) counts as sent from our page, because another page would need the secret code.
func fromElsewhere(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "cross-site"
}
