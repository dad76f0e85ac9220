package sandbox

// shelf keeps things under one or several keys each, and forgets the oldest when it is full. It has no lock of its own.
type shelf[T any] struct {
	most   int
	things map[string]*T
	order  [][]string // the keys of each thing, the oldest first
}

func newShelf[T any](most int) shelf[T] {
	return shelf[T]{most: most, things: map[string]*T{}}
}

func (s *shelf[T]) keep(thing *T, keys ...string) {
	for _, key := range keys {
		s.things[key] = thing
	}
	s.order = append(s.order, keys)
	if len(s.order) > s.most {
		for _, key := range s.order[0] {
			delete(s.things, key)
		}
		s.order = s.order[1:]
	}
}

func (s *shelf[T]) find(key string) (*T, bool) {
	thing, ok := s.things[key]
	return thing, ok
}
