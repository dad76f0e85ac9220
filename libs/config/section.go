package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Declared is one entry of a list of settings: a Section, or a field of Config that several services share.
type Declared interface {
	key() string
	make() any // a pointer to the default value; nil for a field of Config
	check(c *Checker, all Config)
	warn(all Config) []Warning
}

// Section is the settings of one owner: their key, defaults and check. Its declaration is in the owner's folder, and `services/sections` lists
// all of them. The fields of T have the tags of Config's fields.
type Section[T any] struct {
	Key     string // "kafka"; it has dots if several owners share the upper key, as in "sms.vonage"
	Default T
	// Check reports the mistakes in the settings; nil accepts all settings. all has the other sections too.
	Check func(c *Checker, settings T, all Config)
	// Warn returns the warnings for settings that Check accepts; it may be nil. all has the other sections too.
	Warn func(settings T, all Config) []Warning
}

// Of returns the section's settings.
func (s *Section[T]) Of(c Config) T {
	for _, e := range c.entries {
		if e.of == Declared(s) {
			return *e.at.(*T) //nolint:forcetypeassert // make made it
		}
	}
	return s.Default
}

// In returns the section's settings in c, so that the caller can change them. Earlier copies of c do not change.
func (s *Section[T]) In(c *Config) *T {
	changed := s.Of(*c)
	c.entries = slices.Clone(c.list())
	i := slices.IndexFunc(c.entries, func(e entry) bool { return e.of == Declared(s) })
	if i < 0 {
		i, c.entries = len(c.entries), append(c.entries, entry{of: s})
	}
	c.entries[i].at = &changed
	return &changed
}

func (s *Section[T]) key() string { return s.Key }

func (s *Section[T]) make() any {
	value := s.Default
	return &value
}

func (s *Section[T]) check(c *Checker, all Config) {
	if s.Check != nil {
		s.Check(c, s.Of(all), all)
	}
}

func (s *Section[T]) warn(all Config) []Warning {
	if s.Warn == nil {
		return nil
	}
	return s.Warn(s.Of(all), all)
}

// entry is one entry of the list in a Config. at is a pointer to a section's value; several copies of a Config may have the same.
type entry struct {
	of Declared
	at any
}

// list returns all entries; those of a Config that was not loaded are the shared settings.
func (c *Config) list() []entry {
	if c.entries == nil {
		return entries(nil)
	}
	return c.entries
}

// entries returns the entries of a list with their defaults. Shared settings that the list does not name come last.
func entries(list []Declared) []entry {
	all := make([]entry, 0, len(list)+len(sharedSettings))
	for _, d := range list {
		all = append(all, entry{d, d.make()})
	}
	for _, d := range sharedSettings {
		if !slices.ContainsFunc(all, func(e entry) bool { return e.of.key() == d.name }) {
			all = append(all, entry{of: d})
		}
	}
	return all
}

// With returns the settings with the defaults of the sections that they do not have yet.
func (c Config) With(list ...Declared) Config {
	c.entries = slices.Clone(c.list())
	for _, d := range list {
		i := slices.IndexFunc(c.entries, func(e entry) bool { return e.of.key() == d.key() })
		switch {
		case i < 0:
			c.entries = append(c.entries, entry{d, d.make()})
		case IsShared(d):
			c.entries[i].of = d // the sources, with their providers
		}
	}
	return c
}

// detach copies the values of c, so that a change does not affect other copies.
func (c *Config) detach() {
	c.Sources = slices.Clone(c.Sources)
	for i := range c.Sources {
		if p := c.Sources[i].provided; p != nil {
			c.Sources[i].provided = p.clone()
		}
	}
	c.entries = slices.Clone(c.list())
	for i, e := range c.entries {
		if e.at != nil {
			copied := reflect.New(reflect.TypeOf(e.at).Elem())
			copied.Elem().Set(reflect.ValueOf(e.at).Elem())
			c.entries[i].at = copied.Interface()
		}
	}
}

// tree returns all settings as one struct, in the order of the list, whose fields point to the values in c.
func (c *Config) tree() reflect.Value { return c.treeWith(reflect.ValueOf(&c.Sources)) }

// treeWith is tree with another value, to which sources points, in place of the sources.
func (c *Config) treeWith(sources reflect.Value) reflect.Value {
	own := reflect.ValueOf(c).Elem()
	var all []branch
	for _, e := range c.list() {
		b := branch{path: strings.Split(e.of.key(), "."), at: reflect.ValueOf(e.at)}
		if e.at == nil {
			f := sharedField(e.of.key())
			b.at, b.tag = own.FieldByIndex(f.Index).Addr(), f.Tag
			if e.of.key() == "sources" {
				b.at = sources
			}
		}
		all = append(all, b)
	}
	return grow(all).Elem()
}

// branch is a value at a path of keys.
type branch struct {
	path []string
	tag  reflect.StructTag
	at   reflect.Value // a pointer
}

// grow makes a struct of branches. Branches with the same first key share a struct below it.
func grow(all []branch) reflect.Value {
	var fields []reflect.StructField
	var values []reflect.Value
	seen := map[string]bool{}
	for _, b := range all {
		name := b.path[0]
		if seen[name] {
			continue
		}
		seen[name] = true
		if len(b.path) > 1 {
			var below []branch
			for _, other := range all {
				if other.path[0] == name {
					other.path = other.path[1:]
					below = append(below, other)
				}
			}
			b.at = grow(below)
		}
		if b.tag == "" {
			b.tag = reflect.StructTag(fmt.Sprintf("yaml:%q", name))
		}
		fields = append(fields, reflect.StructField{Name: "F" + strconv.Itoa(len(fields)), Type: b.at.Type(), Tag: b.tag})
		values = append(values, b.at)
	}
	made := reflect.New(reflect.StructOf(fields))
	for i, v := range values {
		made.Elem().Field(i).Set(v)
	}
	return made
}

// shared is a field of Config, which several services share.
type shared struct {
	name     string
	test     func(c *Checker, all Config)
	warnings func(all Config) []Warning
}

// Shared returns the entry of a field of Config, for its place in a list. The key is written in the code. An unknown key is a programming
// error, so Shared panics.
func Shared(key string) Declared {
	for _, s := range sharedSettings {
		if s.name == key {
			return s
		}
	}
	panic("config: no shared settings " + key)
}

func (s *shared) key() string { return s.name }
func (*shared) make() any     { return nil }

func (s *shared) check(c *Checker, all Config) {
	if s.test != nil {
		s.test(c, all)
	}
}

func (s *shared) warn(all Config) []Warning {
	if s.warnings == nil {
		return nil
	}
	return s.warnings(all)
}

// sharedField returns the field of Config with that key.
func sharedField(key string) reflect.StructField {
	of := reflect.TypeFor[Config]()
	for i := range of.NumField() {
		if f := of.Field(i); f.Tag.Get("yaml") == key {
			return f
		}
	}
	panic("config: no shared settings " + key)
}

// ListenSection declares a listener's address.
func ListenSection(key, addr string) *Section[Listen] {
	return &Section[Listen]{
		Key: key, Default: Listen{Addr: addr},
		Check: func(c *Checker, l Listen, _ Config) { c.Address(key+".addr", l.Addr) },
	}
}

// IsShared reports whether an entry is a field of Config, which no single service owns.
func IsShared(d Declared) bool {
	switch d.(type) {
	case *shared, *sourceList:
		return true
	default:
		return false
	}
}
