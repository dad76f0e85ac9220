package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// layout is the settings of the sources of one provider: those that each source has, those of the provider, and those that only other providers
// have. The latter are read too, so that a file with an unused key can be loaded and its secrets stay secret.
type layout struct {
	of     SourceDeclared // nil if the provider is unknown
	tree   reflect.Type   // a struct of pointers, whose fields are in the order in which they are printed
	others reflect.Type   // a struct
	leaves []leaf         // in the order of tree
}

// origin says who declares a setting of a source.
type origin int

const (
	fromCommon   origin = iota // a field of Source
	fromProvider               // of the source's provider
	fromOthers                 // only of other providers
)

// leaf is one setting in a layout.
type leaf struct {
	key   string // "webhook.secrets"
	field reflect.StructField
	at    []int // its place in the tree
	from  origin
	index []int  // its place in the part from there
	users string // "esign-v1 does": the other providers that use it
}

func (l leaf) of(parts [3]reflect.Value) reflect.Value { return parts[l.from].FieldByIndex(l.index) }

func (l leaf) setting(parts [3]reflect.Value) setting {
	return newSetting(l.key, l.field.Tag, l.of(parts))
}

// provide returns the default settings of a source of the provider.
func (l *layout) provide() *provided {
	p := &provided{layout: l, others: reflect.New(l.others).Elem()}
	if l.of != nil {
		p.own = l.of.make()
	}
	return p
}

// defaults returns the parts of a source with default settings.
func (l *layout) defaults() [3]reflect.Value {
	_, parts := (&Source{provided: l.provide()}).parts()
	return parts
}

// everySource is the layout of a source without settings of a provider.
var everySource = sync.OnceValue(func() *layout { return newLayouts(nil)[""] })

// newLayouts returns the layout of each provider's sources, and with the name "" that of a source whose provider is unknown. All layouts have the
// same order of keys.
func newLayouts(all []SourceDeclared) map[string]*layout {
	keys := merge(nil, reflect.TypeFor[Source](), nil, nil)
	for _, d := range all {
		keys = merge(keys, reflect.TypeOf(d.make()).Elem(), d, nil)
	}
	layouts := map[string]*layout{}
	for _, d := range append([]SourceDeclared{nil}, all...) {
		l, other := &layout{of: d}, []reflect.StructField(nil)
		l.tree = l.grow(keys, "", nil, &other)
		l.others = reflect.StructOf(other)
		name := ""
		if d != nil {
			name = d.provider()
		}
		layouts[name] = l
	}
	return layouts
}

// keyNode is one key at one level of the settings of sources.
type keyNode struct {
	name     string
	last     bool // after the keys of the providers
	below    []*keyNode
	declared []declaration // empty for a key with keys below it
}

type declaration struct {
	by    SourceDeclared // nil: each source has it
	index []int
	field reflect.StructField
}

// merge adds the fields of a struct to the keys of a level. A new key is before the next field's key, so that the keys of each struct stay in
// their order.
func merge(keys []*keyNode, fields reflect.Type, by SourceDeclared, above []int) []*keyNode {
	next := slices.IndexFunc(keys, func(k *keyNode) bool { return k.last })
	if next < 0 {
		next = len(keys)
	}
	for i := fields.NumField() - 1; i >= 0; i-- {
		f := fields.Field(i)
		name := f.Tag.Get("yaml")
		if !f.IsExported() || name == "-" {
			continue
		}
		at := slices.IndexFunc(keys, func(k *keyNode) bool { return k.name == name })
		if at < 0 {
			at = next
			keys = slices.Insert(keys, at, &keyNode{name: name, last: f.Tag.Get("last") != ""})
		}
		next = at
		k, index, isStruct := keys[at], append(slices.Clip(above), i), f.Type.Kind() == reflect.Struct
		if isStruct && k.declared != nil || !isStruct && k.below != nil || k.declared != nil && k.declared[0].by == nil {
			panic(fmt.Sprintf("config: the settings of %s declare %s again, with another meaning", by.provider(), name))
		}
		if isStruct {
			k.below = merge(k.below, f.Type, by, index)
		} else {
			k.declared = append(k.declared, declaration{by, index, f})
		}
	}
	return keys
}

// grow returns the struct of the keys of a level, and adds its leaves and the fields of other providers.
func (l *layout) grow(keys []*keyNode, above string, at []int, other *[]reflect.StructField) reflect.Type {
	fields := make([]reflect.StructField, 0, len(keys))
	for i, k := range keys {
		key, place := strings.TrimPrefix(above+"."+k.name, "."), append(slices.Clip(at), i)
		f := reflect.StructField{Name: "F" + strconv.Itoa(i)}
		if k.declared == nil {
			f.Type, f.Tag = l.grow(k.below, key, place, other), reflect.StructTag(fmt.Sprintf("yaml:%q", k.name))
		} else {
			leaf := l.leafOf(k, other)
			leaf.key, leaf.at = key, place
			l.leaves = append(l.leaves, leaf)
			f.Type, f.Tag = reflect.PointerTo(leaf.field.Type), leaf.field.Tag
		}
		fields = append(fields, f)
	}
	return reflect.StructOf(fields)
}

func (l *layout) leafOf(k *keyNode, other *[]reflect.StructField) leaf {
	used := slices.IndexFunc(k.declared, func(d declaration) bool { return d.by == nil || d.by == l.of })
	if used >= 0 {
		d := k.declared[used]
		if d.by == nil {
			return leaf{field: d.field, from: fromCommon, index: d.index}
		}
		return leaf{field: d.field, from: fromProvider, index: d.index}
	}
	// If it is a secret of any provider, it stays secret.
	d := k.declared[max(slices.IndexFunc(k.declared, func(d declaration) bool { return d.field.Tag.Get("secret") != "" }), 0)]
	names := make([]string, len(k.declared))
	for i, d := range k.declared {
		names[i] = d.by.provider()
	}
	users := strings.Join(names, " and ") + " does"
	if len(names) > 1 {
		users = strings.TrimSuffix(users, "es")
	}
	f := d.field
	f.Tag += reflect.StructTag(` unused:"true"`)
	*other = append(*other, reflect.StructField{Name: "F" + strconv.Itoa(len(*other)), Type: f.Type})
	return leaf{field: f, from: fromOthers, index: []int{len(*other) - 1}, users: users}
}
