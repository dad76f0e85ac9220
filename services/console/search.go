package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/index"
)

const documentsPath = "/documents"

// listing is which documents a page shows: its filters, and its text.
type listing struct {
	text  string
	token string // of the text in addresses, if the text may be personal
	page  index.Query
	since string // ages, such as "7d"
	until string
	view  string // the saved view from which the filters are
}

// listKeys are the keys of the filters in an address, and in a form.
var listKeys = []string{"source", "provider", "state", "untold", "since", "until", "stuck"}

var ageForm = regexp.MustCompile(`^([1-9][0-9]{0,3})([hd])$`)

// age reads an age such as 24h or 7d.
func age(text string) (time.Duration, bool) {
	m := ageForm.FindStringSubmatch(text)
	if m == nil {
		return 0, text == ""
	}
	n, _ := strconv.Atoi(m[1]) // at most four digits
	unit := time.Hour
	if m[2] == "d" {
		unit = 24 * time.Hour
	}
	return time.Duration(n) * unit, true
}

// ageWords returns an age for a reader: "7 days".
func ageWords(text string) string {
	m := ageForm.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	return counted(m[1], map[string]string{"h": "hour", "d": "day"}[m[2]])
}

func badFilter(key, want string) *Problem {
	return &Problem{Status: http.StatusBadRequest, Title: unknownValue, Detail: fmt.Sprintf("The key %s accepts %s.", key, want), Back: documentsPath}
}

// readFilters reads the filters of an address or of a form.
func readFilters(values url.Values) (l listing, err error) {
	q := &l.page
	q.Source, q.Provider, q.State = values.Get("source"), values.Get("provider"), values.Get("state")
	l.since, l.until = values.Get("since"), values.Get("until")
	q.Untold, q.Stuck = values.Get("untold") == "1", values.Get("stuck") == "1"
	if q.State != "" && !slices.Contains(document.States, document.State(q.State)) {
		var names []string
		for _, s := range document.States {
			names = append(names, string(s))
		}
		return l, badFilter("state", strings.Join(names, ", "))
	}
	for _, key := range []string{"untold", "stuck"} {
		if v := values.Get(key); v != "" && v != "1" {
			return l, badFilter(key, "1")
		}
	}
	for _, key := range []string{"since", "until"} {
		if _, ok := age(values.Get(key)); !ok {
			return l, badFilter(key, "a number of hours or days, such as 24h or 7d")
		}
	}
	return l, nil
}

// readListing reads which documents an address asks for.
func readListing(r *Request) (listing, error) {
	values := r.URL.Query()
	l, err := readFilters(values)
	if err != nil {
		return l, err
	}
	l.view = values.Get("view")
	l.text, l.token = strings.TrimSpace(values.Get("q")), values.Get("s")
	if l.text != "" && l.token != "" {
		return l, badFilter("s", "the text of a search, so leave out q")
	}
	if l.token != "" {
		text, known := r.Console.searches.text(r.id, l.token)
		if !known {
			return l, &Problem{Status: http.StatusNotFound, Title: "This search is not kept any more", Back: documentsPath,
				Detail: "A name, an address or a number is never in an address: the console keeps it for your session only. Search for it again."}
		}
		l.text = text
	}
	for key, into := range map[string]*uint64{"after": &l.page.After, "before": &l.page.Before} {
		if v := values.Get(key); v != "" {
			if *into, err = strconv.ParseUint(v, 36, 63); err != nil || *into == 0 {
				return l, badFilter(key, "the place that a page's own links have")
			}
		}
	}
	if l.page.After > 0 && l.page.Before > 0 {
		return l, badFilter("before", "a place, so leave out after")
	}
	return l, nil
}

// query returns the query of the index.
func (l listing) query(r *Request) index.Query {
	q := l.page
	q.Text, q.Exact = l.text, !r.Can(Private)
	if d, _ := age(l.since); d > 0 {
		q.Since = r.Now.Add(-d)
	}
	if d, _ := age(l.until); d > 0 {
		q.Until = r.Now.Add(-d)
	}
	return q
}

// values returns the listing as an address has it, without its place in the result.
func (l listing) values() url.Values {
	v := url.Values{}
	set := func(key, value string) {
		if value != "" {
			v.Set(key, value)
		}
	}
	if set("s", l.token); l.token == "" {
		set("q", l.text)
	}
	set("source", l.page.Source)
	set("provider", l.page.Provider)
	set("state", l.page.State)
	set("since", l.since)
	set("until", l.until)
	if l.page.Untold {
		v.Set("untold", "1")
	}
	if l.page.Stuck {
		v.Set("stuck", "1")
	}
	return v
}

// path returns the address of the listing without some keys, and with others: key, value, key, value.
func (l listing) path(without []string, with ...string) string {
	v := l.values()
	for _, key := range without {
		v.Del(key)
	}
	for pair := range slices.Chunk(with, 2) {
		v.Set(pair[0], pair[1])
	}
	if len(v) == 0 {
		return documentsPath
	}
	return documentsPath + "?" + v.Encode()
}

// filtered reports how many filters there are, without the text.
func (l listing) filtered() (n int) {
	v := l.values()
	for _, key := range listKeys {
		if v.Has(key) {
			n++
		}
	}
	return n
}

// mayBePersonal reports whether a text must not be in an address, because proxies and browsers keep addresses: an e-mail address, or a number. A
// number has at least 5 digits.
func mayBePersonal(text string) bool {
	digits := 0
	for _, c := range text {
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	return digits >= 5 || strings.Contains(text, "@")
}

// keep gives the listing's text a token if the text must not be in an address.
func (l listing) keep(r *Request) listing {
	if l.token = ""; mayBePersonal(l.text) {
		l.token = r.Console.searches.keep(r.id, l.text, r.Now)
	}
	return l
}

// searches are the texts that were searched for. A text belongs to one session. Its token in addresses is a keyed hash, so the same text has the same
// token and the token does not tell the text.
type searches struct {
	key []byte

	mu  sync.Mutex
	all map[string]keptSearch
}

type keptSearch struct {
	text string
	at   time.Time
}

// mostSearches bounds the memory of searches, and keptFor their time.
const (
	mostSearches = 20_000
	keptFor      = 12 * time.Hour
)

func newSearches() *searches { return &searches{key: []byte(random()), all: map[string]keptSearch{}} }

func (s *searches) keep(session, text string, now time.Time) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(session + "\x00" + text))
	token := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:15])
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.all[token]; !known && len(s.all) >= mostSearches {
		s.forget(now)
	}
	s.all[token] = keptSearch{text, now}
	return token
}

// forget removes old searches, and the oldest half if there are none. The caller holds the lock.
func (s *searches) forget(now time.Time) {
	var times []time.Time
	for token, one := range s.all {
		if now.Sub(one.at) > keptFor {
			delete(s.all, token)
			continue
		}
		times = append(times, one.at)
	}
	if len(s.all) < mostSearches {
		return
	}
	slices.SortFunc(times, time.Time.Compare)
	middle := times[len(times)/2]
	for token, one := range s.all {
		if !one.at.After(middle) {
			delete(s.all, token)
		}
	}
}

// text returns the text of a session's token.
func (s *searches) text(session, token string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, known := s.all[token]
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(session + "\x00" + one.text))
	own := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:15])
	if !known || !hmac.Equal([]byte(own), []byte(token)) {
		return "", false
	}
	return one.text, true
}
