// Package consolesettings contains the settings of the console.
package consolesettings

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// Console is the operator's console: pages and a JSON API.
type Console struct {
	Addr string `yaml:"addr"` // default 127.0.0.1:8081
	// URL is the address of the console in a browser, such as https://console.acme.example. Any address but loopback needs it, with https: a proxy in
	// front of the console ends TLS. Cookies are then sent over https only.
	URL   string   `yaml:"url"`
	Hosts []string `yaml:"hosts"` // as in config.Admin; the host of URL is always accepted
	// ReadOnly refuses every action, for every role.
	ReadOnly bool `yaml:"read_only"`
	// LocalRoles are the roles of every reader on this machine while neither Users nor OIDC is set; default look.
	LocalRoles []string `yaml:"local_roles"`
	// Users has one line for each user, which `signrelay console password` writes: name:argon2id-hash:roles. It is usually a file,
	// SIGNRELAY_CONSOLE_USERS_FILE, which is read again when it changes.
	Users   string  `yaml:"users" secret:"true" lines:"true"`
	OIDC    OIDC    `yaml:"oidc"`
	Session Session `yaml:"session"`
}

// OIDC is the sign-in at an identity provider by OpenID Connect. Without an issuer there is none.
type OIDC struct {
	Issuer       string   `yaml:"issuer"` // https://login.acme.example/realms/acme
	ClientID     string   `yaml:"client_id"`
	ClientSecret string   `yaml:"client_secret" secret:"true"` // empty for a public client: PKCE is always used
	Name         string   `yaml:"name"`                        // of the provider, on the button; default single sign-on
	Scopes       []string `yaml:"scopes"`                      // in addition to openid; default profile, email
	GroupsClaim  string   `yaml:"groups_claim"`                // the claim with the user's groups; default groups
	// Roles maps groups to roles: "signrelay-operators=look+operate". The group * has every user.
	Roles []string `yaml:"roles"`
}

// Session limits how long a user stays signed in.
type Session struct {
	Length time.Duration `yaml:"length"` // default 8h
	Idle   time.Duration `yaml:"idle"`   // without a request by the user; default 30m
}

// Section is the key console.
var Section = &config.Section[Console]{
	Key: "console",
	Default: Console{
		Addr: "127.0.0.1:8081", LocalRoles: []string{"look"},
		OIDC:    OIDC{Name: "single sign-on", Scopes: []string{"profile", "email"}, GroupsClaim: "groups"},
		Session: Session{Length: 8 * time.Hour, Idle: 30 * time.Minute},
	},
	Check: check,
}

// Roles are the names of all roles, the weakest first.
var Roles = []string{"look", "operate", "private", "erase"}

// SignIn reports whether readers must sign in.
func (c Console) SignIn() bool { return c.Users != "" || c.OIDC.Issuer != "" }

// Secure reports whether browsers reach the console by https.
func (c Console) Secure() bool { return strings.HasPrefix(c.URL, "https://") }

// OnLoopback reports whether only this machine can reach the listener itself.
func (c Console) OnLoopback() bool {
	host, _, err := net.SplitHostPort(c.Addr)
	ip, errIP := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || errIP == nil && ip.Unmap().IsLoopback())
}

// User is one line of Users.
type User struct {
	Name  string
	Hash  Hash
	Roles []string
}

// Hash is the argon2id hash of a password, with its parameters.
type Hash struct {
	Memory, Time uint32 // KiB, passes
	Threads      uint8
	Salt, Key    []byte
}

// Limits of the parameters. OWASP's minimum is 19 MiB with 2 passes. The maximum bounds the memory of one sign-in.
const (
	LeastMemory, mostMemory = 19 << 10, 256 << 10
	mostTime, mostThreads   = 10, 16
)

// String returns the hash in the PHC format: $argon2id$v=19$m=65536,t=3,p=2$<salt>$<key>.
func (h Hash) String() string {
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", h.Memory, h.Time, h.Threads,
		base64.RawStdEncoding.EncodeToString(h.Salt), base64.RawStdEncoding.EncodeToString(h.Key))
}

var (
	hashForm = regexp.MustCompile(`^\$argon2id\$v=19\$m=([0-9]{1,7}),t=([0-9]{1,3}),p=([0-9]{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$`)
	userForm = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`)
)

// ParseHash reads a hash in the PHC format.
func ParseHash(text string) (h Hash, ok bool) {
	m := hashForm.FindStringSubmatch(text)
	if m == nil {
		return h, false
	}
	number := func(text string) uint32 {
		n, _ := strconv.ParseUint(text, 10, 32)
		return uint32(n)
	}
	memory, times, threads := number(m[1]), number(m[2]), number(m[3])
	salt, errSalt := base64.RawStdEncoding.DecodeString(m[4])
	key, errKey := base64.RawStdEncoding.DecodeString(m[5])
	if errSalt != nil || errKey != nil || len(salt) < 16 || len(key) < 32 ||
		memory < LeastMemory || memory > mostMemory || times < 1 || times > mostTime || threads < 1 || threads > mostThreads {
		return h, false
	}
	return Hash{Memory: memory, Time: times, Threads: uint8(threads), Salt: salt, Key: key}, true
}

// ParseUsers reads the lines of Users. It names the line of a mistake, never its content.
func ParseUsers(text string) (users []User, err error) {
	for i, line := range config.Lines(text) {
		parts := strings.Split(line, ":")
		if len(parts) != 3 {
			return nil, fmt.Errorf("line %d: want name:hash:roles, as `signrelay console password` writes it", i+1)
		}
		hash, ok := ParseHash(parts[1])
		roles := strings.Split(parts[2], ",")
		switch {
		case !userForm.MatchString(parts[0]):
			return nil, fmt.Errorf("line %d: want a name of 1 to 64 letters, digits and . _ @ -", i+1)
		case !ok:
			return nil, fmt.Errorf("line %d: want an argon2id hash, as `signrelay console password` writes it", i+1)
		case slices.ContainsFunc(roles, func(r string) bool { return !slices.Contains(Roles, r) }):
			return nil, fmt.Errorf("line %d: want roles from %s, separated by commas", i+1, strings.Join(Roles, ", "))
		case slices.ContainsFunc(users, func(u User) bool { return strings.EqualFold(u.Name, parts[0]) }):
			return nil, fmt.Errorf("line %d: the name is already in a line before it", i+1)
		}
		users = append(users, User{Name: parts[0], Hash: hash, Roles: roles})
	}
	return users, nil
}

// ParseGroups reads the map from groups to roles.
func ParseGroups(list []string) (map[string][]string, error) {
	groups := map[string][]string{}
	for _, entry := range list {
		group, roles, found := strings.Cut(entry, "=")
		names := strings.Split(roles, "+")
		if !found || group == "" || slices.ContainsFunc(names, func(r string) bool { return !slices.Contains(Roles, r) }) {
			return nil, fmt.Errorf("want group=role+role, such as signrelay-operators=look+operate, with roles from %s", strings.Join(Roles, ", "))
		}
		groups[group] = append(groups[group], names...)
	}
	return groups, nil
}

func check(c *config.Checker, s Console, _ config.Config) {
	c.Address("console.addr", s.Addr)
	c.WebURL("console.url", s.URL)
	if u, err := url.Parse(s.URL); err == nil && u.Path != "" && u.Path != "/" {
		c.Mistake("console.url", "leave out the path: the console needs a host name of its own")
	}
	c.HostNames("console.hosts", s.Hosts)
	c.EachOf("console.local_roles", s.LocalRoles, Roles...)
	if _, err := ParseUsers(s.Users); err != nil {
		c.Mistake("console.users", "%v", err)
	}
	o := s.OIDC
	c.WebURL("console.oidc.issuer", o.Issuer)
	if _, err := ParseGroups(o.Roles); err != nil {
		c.Mistake("console.oidc.roles", "%v", err)
	}
	u, err := url.Parse(o.Issuer)
	switch {
	case o.Issuer == "" && (o.ClientID != "" || o.ClientSecret != "" || len(o.Roles) > 0):
		c.Mistake("console.oidc.issuer", "other settings of console.oidc are set: set the issuer, too")
	case o.Issuer == "":
	case err == nil && u.Scheme == "http" && !config.Loopback(u.Hostname()):
		c.Mistake("console.oidc.issuer", "want https: the tokens that it signs decide who gets in")
	case o.ClientID == "":
		c.Mistake("console.oidc.client_id", "the issuer is set: set the client's id, too")
	case len(o.Roles) == 0:
		c.Mistake("console.oidc.roles", "the issuer is set, but no group has a role: set for example signrelay-operators=look+operate")
	case s.URL == "":
		c.Mistake("console.url", "console.oidc is set: set the address to which the provider sends users back, such as https://console.acme.example")
	}
	if s.Session.Length < time.Minute || s.Session.Length > 30*24*time.Hour {
		c.Mistake("console.session.length", "want 1m to 720h, not %v", s.Session.Length)
	}
	if s.Session.Idle < time.Minute || s.Session.Idle > s.Session.Length {
		c.Mistake("console.session.idle", "want 1m to console.session.length, not %v", s.Session.Idle)
	}
}

// CheckAccess returns the mistake that would let strangers in: an address that other machines reach, without sign-in or without https.
func (c Console) CheckAccess() error {
	outside := !c.OnLoopback()
	if u, err := url.Parse(c.URL); err == nil && c.URL != "" && !config.Loopback(u.Hostname()) {
		outside = true
	}
	switch {
	case !outside:
		return nil
	case !c.SignIn():
		return errors.New("console.addr: other machines can reach the console, and nobody has to sign in: set console.users or console.oidc, or an address on 127.0.0.1 and no console.url")
	case !c.Secure():
		return errors.New("console.url: other machines can reach the console, so passwords and cookies need https: set the https address of the proxy in front of it")
	default:
		return nil
	}
}
