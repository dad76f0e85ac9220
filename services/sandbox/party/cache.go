package party

// Cache keeps items under one or several keys each, and forgets the oldest when it is full. It has no lock of its own.
type Cache[T any] struct {
	most  int
	items map[string]*T
	order [][]string // the keys of each item, the oldest first
}

// NewCache returns a cache of that many items at most.
func NewCache[T any](most int) Cache[T] {
	return Cache[T]{most: most, items: map[string]*T{}}
}

// Keep adds an item under its keys.
func (c *Cache[T]) Keep(item *T, keys ...string) {
	for _, key := range keys {
		c.items[key] = item
	}
	c.order = append(c.order, keys)
	if len(c.order) > c.most {
		for _, key := range c.order[0] {
			delete(c.items, key)
		}
		c.order = c.order[1:]
	}
}

// Find returns the item of a key.
func (c *Cache[T]) Find(key string) (*T, bool) {
	item, ok := c.items[key]
	return item, ok
}
