package console

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"sync"
	"time"
)

// session is one sign-in. Its id is in the user's cookie only; the console knows the id's hash.
type session struct {
	reader      Reader
	began, seen time.Time
}

type sessions struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]*session
}

// mostSessions bounds the memory of sessions. Only users who have signed in can make them.
const mostSessions = 10_000

func newSessions() *sessions { return &sessions{all: map[[sha256.Size]byte]*session{}} }

// begin makes a session and returns its new id.
func (s *sessions) begin(reader Reader, now time.Time, length, idle time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, one := range s.all {
		if one.over(now, length, idle) || len(s.all) >= mostSessions {
			delete(s.all, id)
		}
	}
	id := random()
	s.all[sha256.Sum256([]byte(id))] = &session{reader: reader, began: now, seen: now}
	return id
}

func (s *session) over(now time.Time, length, idle time.Duration) bool {
	return now.Sub(s.began) >= length || now.Sub(s.seen) >= idle
}

// get returns the reader of a session. A request that the user did not make, such as a live update, does not extend it.
func (s *sessions) get(id string, now time.Time, length, idle time.Duration, extend bool) (Reader, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sha256.Sum256([]byte(id))
	one := s.all[key]
	if one == nil {
		return Reader{}, false
	}
	if one.over(now, length, idle) {
		delete(s.all, key)
		return Reader{}, false
	}
	if extend {
		one.seen = now
	}
	return one.reader, true
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, sha256.Sum256([]byte(id)))
}

// localID stands for the session of readers on this machine who need not sign in.
const localID = "local"

// reader returns who made a request, and the id of the session or of the sign-in to which forms are bound. A user of the password file has
// the roles that the file has now, and is signed out when the line is removed.
func (s *Server) reader(r *http.Request) (Reader, string) {
	settings := s.settings.Now()
	if !settings.SignIn() {
		return Reader{Roles: rolesOf(settings.LocalRoles), Via: localID}, localID
	}
	id := s.cookieOf(r, "session")
	if id == "" {
		return Reader{}, s.cookieOf(r, "signin")
	}
	own := r.Header.Get("Signrelay-Live") == "" && !strings.HasPrefix(r.URL.Path, "/live")
	reader, ok := s.sessions.get(id, s.env.Now(), settings.Session.Length, settings.Session.Idle, own)
	if !ok {
		return Reader{}, s.cookieOf(r, "signin")
	}
	if reader.Via == viaPassword {
		user, ok := s.user(reader.Name)
		if !ok {
			s.sessions.end(id)
			return Reader{}, s.cookieOf(r, "signin")
		}
		reader.Roles = rolesOf(user.Roles)
	}
	return reader, id
}
