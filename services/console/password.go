package console

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	consolesettings "github.com/signrelay/signrelay/services/console/settings"
)

// The parameters of new hashes: OWASP's minimum is 19 MiB with 2 passes. 64 MiB with 3 passes take about 100 ms of a core.
const (
	hashMemory, hashTime, hashThreads = 64 << 10, 3, 2

	leastPassword = 12 // characters
	mostPassword  = 1024
)

// UserLine returns the line of console.users for a user.
func UserLine(name, password string, roles []string) (string, error) {
	if n := utf8.RuneCountInString(password); n < leastPassword || len(password) > mostPassword {
		return "", fmt.Errorf("the password has %d characters: want %d to %d", n, leastPassword, mostPassword)
	}
	h := consolesettings.Hash{Memory: hashMemory, Time: hashTime, Threads: hashThreads, Salt: make([]byte, 16)}
	_, _ = rand.Read(h.Salt) // it never fails
	h.Key = derive(h, password, 32)
	line := name + ":" + h.String() + ":" + strings.Join(roles, ",")
	if _, err := consolesettings.ParseUsers(line); err != nil {
		return "", errors.New(strings.TrimPrefix(err.Error(), "line 1: "))
	}
	return line, nil
}

func derive(h consolesettings.Hash, password string, length int) []byte {
	return argon2.IDKey([]byte(password), h.Salt, h.Time, h.Memory, h.Threads, uint32(length))
}

// user returns the user of the password file with that name.
func (s *Server) user(name string) (consolesettings.User, bool) {
	for _, u := range s.users.Now() {
		if strings.EqualFold(u.Name, name) {
			return u, true
		}
	}
	return consolesettings.User{}, false
}

// noUser is the hash with which the password of an unknown user is compared, so that the time of the response does not tell which names exist.
var noUser = consolesettings.User{Hash: consolesettings.Hash{
	Memory: hashMemory, Time: hashTime, Threads: hashThreads, Salt: make([]byte, 16), Key: make([]byte, 32),
}}

// checkPassword returns the user if the password is right. At most two passwords are hashed at once, each in up to 256 MiB.
func (s *Server) checkPassword(ctx context.Context, name, password string) (consolesettings.User, bool) {
	user, known := s.user(name)
	if !known {
		user = noUser
	}
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-ctx.Done():
		return user, false
	}
	same := subtle.ConstantTimeCompare(derive(user.Hash, password, len(user.Hash.Key)), user.Hash.Key) == 1
	return user, known && same && len(password) <= mostPassword
}
