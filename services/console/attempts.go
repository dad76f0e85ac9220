package console

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// attempts limits failed sign-ins, for a name and for an address.
type attempts struct {
	mu     sync.Mutex
	failed map[string]*failures
}

type failures struct {
	count int
	until time.Time // the end of the period in which they count
}

// The limits. An address has a higher limit, because behind a proxy all users have one address.
const (
	attemptsFor               = 15 * time.Minute
	mostOfName, mostOfAddress = 5, 100
	mostCounted               = 20_000 // names and addresses; each takes about 100 bytes
	nameOf, addressOf         = "name ", "address "
)

func newAttempts() *attempts { return &attempts{failed: map[string]*failures{}} }

// wait returns how long a name or an address must wait before its next attempt; 0 for not at all.
func (a *attempts) wait(name, address string, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	longest := time.Duration(0)
	for key, most := range map[string]int{nameOf + strings.ToLower(name): mostOfName, addressOf + address: mostOfAddress} {
		if f := a.failed[key]; f != nil && f.count >= most && now.Before(f.until) {
			longest = max(longest, f.until.Sub(now))
		}
	}
	return longest
}

// count counts an attempt before its password is checked, so that concurrent attempts cannot exceed the limit.
func (a *attempts) count(name, address string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, key := range []string{nameOf + strings.ToLower(name), addressOf + address} {
		f := a.failed[key]
		if f == nil || !now.Before(f.until) {
			a.makeSpace(now)
			f = &failures{until: now.Add(attemptsFor)}
			a.failed[key] = f
		}
		f.count++
	}
}

// makeSpace removes what no longer counts, and any entry if all count.
func (a *attempts) makeSpace(now time.Time) {
	if len(a.failed) < mostCounted {
		return
	}
	for key, f := range a.failed {
		if !now.Before(f.until) {
			delete(a.failed, key)
		}
	}
	for key := range a.failed {
		if len(a.failed) < mostCounted {
			return
		}
		delete(a.failed, key)
	}
}

// succeeded forgets the failures of a name, and takes back the attempt of its address.
func (a *attempts) succeeded(name, address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.failed, nameOf+strings.ToLower(name))
	if f := a.failed[addressOf+address]; f != nil {
		f.count--
	}
}

func addressOfRequest(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
