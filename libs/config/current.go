package config

import (
	"sync"
	"sync/atomic"
)

// Current is a value of the settings, such as a section, or one derived from them, such as API clients. Code that needs a secret or a
// certificate calls Now at each use, because a secret may be replaced while the program runs.
type Current[T any] struct {
	live *Live // nil for a value that never changes
	from func(Config) (T, error)

	have   atomic.Pointer[derived[T]]
	making sync.Mutex
}

type derived[T any] struct {
	of    *Config
	value T
}

// Derive returns a value that is computed from the settings. It is computed again when they change.
func Derive[T any](live *Live, from func(Config) (T, error)) (*Current[T], error) {
	c := &Current[T]{live: live, from: from}
	of := live.now.Load()
	value, err := from(*of)
	if err != nil {
		return nil, err
	}
	c.have.Store(&derived[T]{of, value})
	return c, nil
}

// Pick returns a part of the settings.
func Pick[T any](live *Live, part func(Config) T) *Current[T] {
	c, _ := Derive(live, func(all Config) (T, error) { return part(all), nil }) // it returns no error
	return c
}

// Follow returns the section's settings as they are now.
func (s *Section[T]) Follow(live *Live) *Current[T] { return Pick(live, s.Of) }

// Fixed returns a value that does not change.
func Fixed[T any](value T) *Current[T] {
	c := &Current[T]{}
	c.have.Store(&derived[T]{nil, value})
	return c
}

// Now returns the value for the current settings. If making it fails although the settings passed the check, Now returns the previous
// value.
func (c *Current[T]) Now() T {
	if have := c.have.Load(); c.live == nil || have.of == c.live.now.Load() {
		return have.value
	}
	c.making.Lock()
	defer c.making.Unlock()
	have, of := c.have.Load(), c.live.now.Load()
	if have.of == of { // another goroutine was faster
		return have.value
	}
	next := &derived[T]{of, have.value}
	if value, err := c.from(*of); err == nil {
		next.value = value
	}
	c.have.Store(next)
	return next.value
}
