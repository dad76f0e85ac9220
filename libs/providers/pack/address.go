package pack

import "net/url"

// Address tells whether a text is an address that a person's browser can be sent to: absolute, http or https. What a
// provider answers is not trusted to be one. A name before the host is refused: it only deceives.
func Address(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http")
}
