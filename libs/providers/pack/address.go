package pack

import "net/url"

// Address reports whether a text is an address that a browser can be redirected to: absolute, http or https. A provider's response may
// contain something else. A user name before the host is refused, because it only deceives people.
func Address(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http")
}
