package shortener

import (
	"net/http"
	"strings"

	"github.com/x-way/crawlerdetect"
)

// isRobot tells whether a request comes from a program that looks at links before people do: the preview of a messenger, a
// mail scanner, a link checker. They would use up a link that works once, and be taken for the signer.
//
// It errs now and then, so whoever is taken for one still gets a button to go on with.
func isRobot(r *http.Request) bool {
	agent := r.UserAgent()
	// The list has some 1,400 patterns, which take 0.2 ms for a phone's 140 bytes; what a robot calls itself stands early.
	return r.Method == http.MethodHead || strings.TrimSpace(agent) == "" || crawlerdetect.IsCrawler(agent[:min(len(agent), longestAgent)])
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
