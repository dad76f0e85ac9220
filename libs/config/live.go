package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Live is the settings of a running program. Only values that came from the file of a …_FILE variable can change while it runs. Code reads them
// through a Current.
type Live struct {
	now atomic.Pointer[Config] // immutable: a change makes a new value

	mu    sync.Mutex // held while the files are read
	files []fromFile
}

// fromFile is a setting that came from a file.
type fromFile struct {
	key      string // "nats.password", "sources[0].webhook.secrets"
	variable string // SIGNRELAY_NATS_PASSWORD_FILE
	path     string
	text     string // the value in use
	seen     string // the content at the last poll
}

// NewLive returns a Live with the loaded settings.
func NewLive(cfg Config) *Live {
	l := &Live{files: slices.Clone(cfg.files)}
	l.now.Store(&cfg)
	return l
}

// FileOf returns the path of the file from which a setting came, such as "sources[0].webhook.secrets"; empty if it came from elsewhere.
func (c Config) FileOf(key string) string {
	for _, f := range c.files {
		if f.key == key {
			return f.path
		}
	}
	return ""
}

// Files returns the number of settings that came from files.
func (l *Live) Files() int { return len(l.files) }

// Reread reads the files again. When it returns, each Current has the usable new values; replaced has the keys of these settings. If a file
// cannot be read, is empty, or contains a value that check refuses, the old value stays. err then has a line with the reason. Settings that
// belong together, such as a certificate and its key, are replaced together or not at all.
//
// A new value is used only if the value and all settings that belong to it did not change since the last poll: a program may still be writing
// the files. With atOnce it is used immediately.
func (l *Live) Reread(check func(Config) error, atOnce bool) (replaced []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var mistakes []error
	var fresh []int              // places in files
	writing := map[string]bool{} // the parents of settings that changed since the last poll
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

	// First all together, so that related values change together; otherwise group by group, so that one bad value does not block the others.
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

// take uses the last content of some of the files, unless check refuses the resulting settings.
func (l *Live) take(files []int, check func(Config) error) error {
	next := *l.now.Load()
	next.detach()
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

// all returns every setting of c, including those of its sources.
func (c *Config) all() []setting {
	all := settings(c.tree())
	for i := range c.Sources {
		for _, s := range settings(c.Sources[i].tree()) {
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
