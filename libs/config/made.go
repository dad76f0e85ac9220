package config

import (
	"sync"
	"sync/atomic"
)

// Made is a value derived from the settings, such as opened packs or API clients. It is made again when the settings change.
type Made[T any] struct {
	live *Live
	from func(Config) (T, error)

	have   atomic.Pointer[made[T]]
	making sync.Mutex
}

type made[T any] struct {
	of   *Config
	what T
}

// Make makes the value for the first time.
func Make[T any](live *Live, from func(Config) (T, error)) (*Made[T], error) {
	m := &Made[T]{live: live, from: from}
	of := live.Now()
	what, err := from(*of)
	if err != nil {
		return nil, err
	}
	m.have.Store(&made[T]{of, what})
	return m, nil
}

// Now returns the value for the current settings. If making it fails although the settings passed the check, Now returns the previous
// value.
func (m *Made[T]) Now() T {
	if have := m.have.Load(); have.of == m.live.Now() {
		return have.what
	}
	m.making.Lock()
	defer m.making.Unlock()
	have, of := m.have.Load(), m.live.Now()
	if have.of == of { // another goroutine was faster
		return have.what
	}
	next := &made[T]{of, have.what}
	if what, err := m.from(*of); err == nil {
		next.what = what
	}
	m.have.Store(next)
	return next.what
}
