package notification

import (
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
)

// Links are the short links that the settings allow: our own, and those of the outside shortener.
type Links struct {
	base    string   // the beginning of our own links: "https://sign.acme.example/l/"
	outside []string // the beginning of the outside shortener's links: "https://acme.link/"
}

// NewLinks takes the base address of our own links, and the domain of the outside shortener, or "" without one. It fails if the address is
// not usable.
func NewLinks(publicURL, outside string) (Links, error) {
	u, err := url.Parse(publicURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Links{}, errors.New("shortener.public_url: set the http or https address at the beginning of signers' links, such as https://sign.acme.example")
	}
	l := Links{base: strings.TrimRight(u.String(), "/") + "/l/"}
	if outside != "" {
		l.outside = []string{"https://" + outside + "/", "http://" + outside + "/"}
	}
	return l, nil
}

// Base returns the beginning of all our own links.
func (l Links) Base() string { return l.base }

// on returns a link for the messages of another channel: our own links end with the suffix of their channel, so that an opening shows the channel.
// Another link stays as it is, and works on each channel.
func (l Links) on(text string, from, to event.Channel) string {
	const code = 14 // letters before the suffix
	name, ours := strings.CutPrefix(text, l.base)
	if ours && l.base != "" && len(name) == code+len(from.Suffix) && strings.HasSuffix(name, from.Suffix) {
		return strings.TrimSuffix(text, from.Suffix) + to.Suffix
	}
	return text
}

// names are the valid codes after the base, our own and an outside shortener's. A code has no dot, slash or percent sign, so it cannot
// lead out of the base.
var names = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Ours reports whether a text is one of our own links or one of the outside shortener's, in the spelling that the shortener writes.
func (l Links) Ours(text string) bool {
	name, found := strings.CutPrefix(text, l.base)
	return l.base != "" && found && names.MatchString(name) || l.Outside(text)
}

// Outside reports whether a text is a link of the outside shortener's. Its domain may have capital letters.
func (l Links) Outside(text string) bool {
	for _, base := range l.outside {
		if len(text) > len(base) && strings.EqualFold(text[:len(base)], base) && names.MatchString(text[len(base):]) {
			return true
		}
	}
	return false
}
