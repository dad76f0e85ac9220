package party

import "slices"

// Cache stores items, each under one or more keys. When it is full, it removes the oldest item. It is not safe for concurrent use.
type Cache[T any] struct {
	capacity int
	items    map[string]*T
	order    [][]string // the keys of each item, the oldest first
}

// NewCache returns a cache for at most capacity items.
func NewCache[T any](capacity int) Cache[T] {
	return Cache[T]{capacity: capacity, items: map[string]*T{}}
}

// Keep adds an item under its keys.
func (c *Cache[T]) Keep(item *T, keys ...string) {
	for _, key := range keys {
		c.items[key] = item
	}
	c.order = append(c.order, keys)
	if len(c.order) > c.capacity {
		for _, key := range c.order[0] {
			delete(c.items, key)
		}
		c.order = c.order[1:]
	}
}

// Rename gives an item another key in place of one of its keys.
func (c *Cache[T]) Rename(from, to string) {
	for _, keys := range c.order {
		if i := slices.Index(keys, from); i >= 0 {
			c.items[to], keys[i] = c.items[from], to
			delete(c.items, from)
			return
		}
	}
}

// All returns the items, the oldest first.
func (c *Cache[T]) All() []*T {
	all := make([]*T, 0, len(c.order))
	for _, keys := range c.order {
		if item, ok := c.items[keys[0]]; ok {
			all = append(all, item)
		}
	}
	return all
}

// Find returns the item with this key.
func (c *Cache[T]) Find(key string) (*T, bool) {
	item, ok := c.items[key]
	return item, ok
}
