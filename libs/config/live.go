package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Live is the settings of a running program. What came from the file of a …_FILE variable may be replaced while it runs,
// and nothing else. Whoever holds a secret or a certificate asks Now at each use, or keeps what it makes of it in a Made.
type Live struct {
	now atomic.Pointer[Config]

	mu    sync.Mutex // held while the files are read
	files []fromFile
}

// fromFile is a setting that came from a file.
type fromFile struct {
	key      string // "nats.password", "sources[0].webhook.secrets"
	variable string // SIGNRELAY_NATS_PASSWORD_FILE
	path     string
	text     string // what is in use
	seen     string // what stood there at the last look
}

// NewLive begins with the settings as they were loaded.
func NewLive(cfg Config) *Live {
	l := &Live{files: slices.Clone(cfg.files)}
	l.now.Store(&cfg)
	return l
}

// Now is the settings as they are now. They are not to be changed, and do not change: new ones stand elsewhere.
func (l *Live) Now() *Config { return l.now.Load() }

// Files is how many settings came from files.
func (l *Live) Files() int { return len(l.files) }

// Reread looks into the files again. When it returns, Now has what can be used of what is new there; replaced has the keys
// of these settings. Where a file cannot be read, is empty, or holds what check refuses, the old value stays, and err has a
// line that says why. Settings side by side, such as a certificate and its key, are taken together or not at all.
//
// A new value is taken when it, and all that stands beside it, was there at the last look too: they may be just being
// written. With atOnce it is taken now.
func (l *Live) Reread(check func(Config) error, atOnce bool) (replaced []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var mistakes []error
	var fresh []int              // places in files
	writing := map[string]bool{} // the parents of what has changed since the last look
	for i := range l.files {
		f := &l.files[i]
		text, err := readSetting(f.variable, f.path)
		switch {
		case err != nil:
			mistakes = append(mistakes, err)
		case text == "":
			mistakes = append(mistakes, fmt.Errorf("%s: the file that it names is empty", f.variable))
		case text != f.text && (atOnce || text == f.seen):
			fresh = append(fresh, i)
		}
		writing[parent(f.key)] = writing[parent(f.key)] || text != f.seen && !atOnce
		f.seen = text
	}
	fresh = slices.DeleteFunc(fresh, func(i int) bool { return writing[parent(l.files[i].key)] })
	if len(fresh) == 0 {
		return nil, errors.Join(mistakes...)
	}

	// All at once, so that what belongs together is never apart; else one bad value does not hold up the others.
	if l.take(fresh, check) == nil {
		return l.keys(fresh), errors.Join(mistakes...)
	}
	for len(fresh) > 0 {
		beside := parent(l.files[fresh[0]].key)
		group := slices.DeleteFunc(slices.Clone(fresh), func(i int) bool { return parent(l.files[i].key) != beside })
		fresh = slices.DeleteFunc(fresh, func(i int) bool { return parent(l.files[i].key) == beside })
		if err := l.take(group, check); err != nil {
			mistakes = append(mistakes, err)
		} else {
			replaced = append(replaced, l.keys(group)...)
		}
	}
	return replaced, errors.Join(mistakes...)
}

// take puts what was last seen in some of the files into use, unless check refuses the settings as they are then.
func (l *Live) take(files []int, check func(Config) error) error {
	next := *l.now.Load()
	next.Sources = slices.Clone(next.Sources) // the list is shared with the settings that others hold
	all := next.all()
	for _, i := range files {
		f := l.files[i]
		at := slices.IndexFunc(all, func(s setting) bool { return s.key == f.key })
		if err := all[at].set(f.seen, "\n"); err != nil {
			return fmt.Errorf("%s: %w", f.variable, err)
		}
	}
	if err := check(next); err != nil {
		return err
	}
	for _, i := range files {
		l.files[i].text = l.files[i].seen
	}
	l.now.Store(&next)
	return nil
}

// all is every setting of c, those of its sources included.
func (c *Config) all() []setting {
	all := settings(reflect.ValueOf(c).Elem())
	for i := range c.Sources {
		for _, s := range settings(reflect.ValueOf(&c.Sources[i]).Elem()) {
			s.key = sourceKey(i, s.key)
			all = append(all, s)
		}
	}
	return all
}

func sourceKey(i int, key string) string { return fmt.Sprintf("sources[%d].%s", i, key) }

func parent(key string) string { return key[:max(strings.LastIndexByte(key, '.'), 0)] }

func (l *Live) keys(files []int) []string {
	keys := make([]string, len(files))
	for i, at := range files {
		keys[i] = l.files[at].key
	}
	return keys
}
