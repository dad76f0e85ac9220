package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Checker collects the mistakes in settings. Each method takes the key of the setting that it checks.
type Checker struct {
	providers []string
	perSource func(Source) error

	mistakes   []error
	unreadable []string // keys of settings that contain forbidden characters
}

// Mistake adds a mistake. The text says how to fix it; arguments that are texts are masked where they may hold a secret.
func (c *Checker) Mistake(key, format string, args ...any) {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = shown(text)
		}
	}
	c.mistakes = append(c.mistakes, fmt.Errorf(key+": "+format, args...))
}

// TLS checks the TLS settings whose keys begin with key.
func (c *Checker) TLS(key string, t TLS) {
	if _, err := t.Client(""); err != nil {
		c.mistakes = append(c.mistakes, fmt.Errorf("%s.%w", key, err))
	}
}

// Needed refuses an empty value.
func (c *Checker) Needed(key, value string) {
	if value == "" {
		c.Mistake(key, "must not be empty")
	}
}

// Secrets refuses an empty secret in a list of those that callbacks are compared with.
func (c *Checker) Secrets(key string, secrets []string) {
	if slices.Contains(secrets, "") {
		c.Mistake(key, "an empty secret would accept every callback: remove it")
	}
}

// Address checks for host:port, where an empty host means all interfaces and port 0 any free port.
func (c *Checker) Address(key, addr string) {
	_, port, err := net.SplitHostPort(addr)
	if n, errPort := strconv.Atoi(port); err != nil || errPort != nil || n < 0 || n > 65535 {
		c.Mistake(key, "want host:port, such as 127.0.0.1:8080 or :8080, not %q", addr)
	}
}

// hostName matches a name in a Host header, without its port. Compose and Kubernetes allow an underscore in it.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)

// HostNames checks for names without a wildcard: a wildcard would accept names of other parties.
func (c *Checker) HostNames(key string, names []string) {
	for _, name := range names {
		if !hostName.MatchString(name) {
			c.Mistake(key, "want host names without a port, such as signrelay-sandbox, not %q", name)
		}
	}
}

// WebURL checks that a value is empty or an absolute http or https URL. Its error omits the value, which may contain a password.
func (c *Checker) WebURL(key, text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || !port(u):
		c.Mistake(key, "want an absolute URL, such as https://sign.acme.example")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		c.Mistake(key, "want a URL with no user, no query and no fragment, such as https://sign.acme.example")
	}
}

// BaseURL checks a base URL, to which Signrelay appends its own path.
func (c *Checker) BaseURL(key, text, path string) {
	if u, err := url.Parse(text); err == nil && (strings.HasSuffix(u.Path, path) || strings.Contains(u.Path, path+"/")) {
		c.Mistake(key, "leave out %s and the rest: Signrelay appends them", path)
	}
}

// Positive refuses 0 and less.
func (c *Checker) Positive(key string, value int64) {
	if value <= 0 {
		c.Mistake(key, "must be more than 0")
	}
}

// OneOf refuses a value that is not allowed.
func (c *Checker) OneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		c.Mistake(key, "want %s, not %q", strings.Join(allowed, " or "), value)
	}
}

// EachOf refuses each value that is not allowed.
func (c *Checker) EachOf(key string, values []string, allowed ...string) {
	for _, v := range values {
		c.OneOf(key, v, allowed...)
	}
}

// port reports whether an address has a valid port, or none.
func port(u *url.URL) bool {
	n, err := strconv.Atoi(u.Port())
	return u.Port() == "" || err == nil && n >= 1 && n <= 65535
}

// Loopback reports whether a host is this machine.
func Loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && (ip.IsLoopback() || ip.IsUnspecified())
}
