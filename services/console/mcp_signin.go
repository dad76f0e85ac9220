package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	consolesettings "github.com/signrelay/signrelay/services/console/settings"
)

// verifiedFor is the time for which a password that was verified is not hashed again. A hash takes 100 ms and 64 MiB, and a client sends its password with each request.
const verifiedFor = 5 * time.Minute

// mostVerified bounds the memory of verified passwords. Only users of the password file can make them.
const mostVerified = 1000

// verified are the passwords that were verified, under a keyed hash of name, password and stored hash: a changed line in console.users is verified again.
type verified struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]time.Time
}

func (v *verified) has(key [sha256.Size]byte, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	at, known := v.all[key]
	return known && now.Sub(at) < verifiedFor
}

func (v *verified) add(key [sha256.Size]byte, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for old, at := range v.all {
		if now.Sub(at) >= verifiedFor || len(v.all) >= mostVerified {
			delete(v.all, old)
		}
	}
	v.all[key] = now
}

func (s *Server) verifiedKey(u consolesettings.User, password string) (key [sha256.Size]byte) {
	mac := hmac.New(sha256.New, s.key)
	for _, part := range []string{"verified", strings.ToLower(u.Name), password, u.Hash.String()} {
		fmt.Fprintf(mac, "%d:%s", len(part), part)
	}
	copy(key[:], mac.Sum(nil))
	return key
}

// authenticate sets the reader of a request that has no page and no cookie: a user of the password file by HTTP Basic, as a script sends it with each request. A session's
// cookie does not count, so no page in a browser can act through it.
func (s *Server) authenticate(r *Request) error {
	settings := s.settings.Now()
	if !settings.SignIn() {
		return nil // readers on this machine have the local roles
	}
	r.Reader, r.id = Reader{}, ""
	refused := func(status int, title, detail string) error {
		if status == http.StatusUnauthorized {
			r.writer.Header().Set("WWW-Authenticate", `Basic realm="Signrelay", charset="UTF-8"`)
		}
		return &Problem{Status: status, Title: title, Detail: detail}
	}
	name, password, ok := r.BasicAuth()
	switch {
	case settings.Users == "":
		return refused(http.StatusUnauthorized, "No user can sign in here", "The setting console.users is empty, and single sign-on is for browsers. Add a user with `signrelay console password`.")
	case !ok || !printableText(name, 64):
		return refused(http.StatusUnauthorized, "Sign in first", "Send the name and the password of a user of console.users by HTTP Basic, in the header Authorization. The cookie of a browser does not count here.")
	}
	user, known := s.user(name)
	key := s.verifiedKey(user, password)
	if !known || !s.verified.has(key, r.Now) {
		address := addressOfRequest(r.Request)
		if wait := s.attempts.wait(name, address, r.Now); wait > 0 {
			r.writer.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
			return refused(http.StatusTooManyRequests, "Too many attempts failed", "Try again in "+words(wait)+".")
		}
		s.attempts.count(name, address, r.Now)
		if user, ok = s.checkPassword(r.Context(), name, password); !ok {
			s.env.Log.InfoContext(r.Context(), "a sign-in failed", "via", viaBasic)
			return refused(http.StatusUnauthorized, "The name or the password is wrong", "Make a new line for console.users with `signrelay console password` if the password is lost.")
		}
		s.attempts.succeeded(name, address)
		s.verified.add(s.verifiedKey(user, password), r.Now)
	}
	r.Reader = Reader{Name: user.Name, Roles: rolesOf(user.Roles), Via: viaBasic}
	return nil
}
