package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// Source is one account at one provider whose callbacks are accepted. These are the settings that each source has; its provider declares the
// others as a SourceSection.
type Source struct {
	Name       string `yaml:"name"`     // [a-z0-9-]{1,32}, unique within its provider
	Provider   string `yaml:"provider"` // a pack's name
	SenderName string `yaml:"sender_name"`
	Locale     string `yaml:"locale"` // default "en"
	Region     string `yaml:"region"` // for numbers without a country code; default "US"
	API        API    `yaml:"api"`
	Notify     Notify `yaml:"notify"`
	// Reminders are the reminders to people who have not signed.
	Reminders Reminders `yaml:"reminders"`
	// QuietHours are the times at which messages wait.
	QuietHours QuietHours `yaml:"quiet_hours"`
	// Fallback is the use of a person's other channel.
	Fallback Fallback `yaml:"fallback"`
	// Keep names the evidence that the log keeps: callbacks, texts. Default both; an empty list keeps nothing.
	Keep []string `yaml:"keep"`
	// Reconcile is the nightly comparison with the provider.
	Reconcile Reconcile `yaml:"reconcile"`
	// Retention is the time after its last event after which a document is erased; 0 keeps it as long as the log keeps events.
	Retention time.Duration `yaml:"retention"`

	provided *provided // the settings of its provider; nil for a source without any
}

// The evidence that the log can keep.
const (
	KeepCallbacks = "callbacks" // the provider's requests, byte for byte, with the event that they reported
	KeepTexts     = "texts"     // the texts that people got
)

// Keeps reports whether the log keeps an evidence.
func (s Source) Keeps(evidence string) bool {
	return s.Keep == nil || slices.Contains(s.Keep, evidence)
}

// API is the access to a provider's REST API. The credentials are settings of the provider.
type API struct {
	BaseURL string `yaml:"base_url"`
	// PerMinute is the maximum number of calls of all replicas together; 0 means the provider's own limit. A quarter is for clicks on links, a
	// tenth for files, and the rest for events.
	PerMinute int `yaml:"per_minute" last:"true"`
}

// Notify narrows the messages to a source's signers; empty lists mean all messages.
type Notify struct {
	Channels []string `yaml:"channels"` // sms, email
	Kinds    []string `yaml:"kinds"`    // invitation, progress, completed, …
	// Sender has the addresses for messages to the documents' sender about problems; if both fields are empty, the provider's API is asked
	// for the sender's address.
	Sender Sender `yaml:"sender"`
}

// WantsChannel reports whether people get messages on a channel; an empty list contains all channels.
func (n Notify) WantsChannel(name string) bool {
	return len(n.Channels) == 0 || slices.Contains(n.Channels, name)
}

// WantsKind reports whether people get messages of a kind; an empty list contains all kinds.
func (n Notify) WantsKind(name string) bool {
	return len(n.Kinds) == 0 || slices.Contains(n.Kinds, name)
}

// Sender is the address for messages to a document's sender.
type Sender struct {
	Email  string `yaml:"email"`
	Mobile string `yaml:"mobile"`
}

// SourceDeclared is the declaration of the settings of one provider's sources: a SourceSection.
type SourceDeclared interface {
	// New returns a source with the default settings of its provider.
	New(name string) Source

	provider() string
	make() any // a pointer to the default value
	check(c *Checker, key string, src Source)
}

// SourceSection is the settings that only one provider's sources have: their defaults and check. Its declaration is in the provider's pack. T is
// a struct; its fields have the tags of Config's fields, and come before the fields of Source with the tag last.
type SourceSection[T any] struct {
	Provider string // the pack's name
	Default  T
	// Check reports the mistakes in the settings; nil accepts all settings. key is the source's key, such as "sources[0]".
	Check func(c *Checker, key string, settings T)

	once  sync.Once
	alone *layout
}

// Of returns the settings of a source.
func (s *SourceSection[T]) Of(src Source) T {
	if p := src.provided; p != nil && p.layout.of == SourceDeclared(s) {
		return *p.own.(*T) //nolint:forcetypeassert // make made it
	}
	return s.Default
}

// Source returns a source with these settings.
func (s *SourceSection[T]) Source(name string, settings T) Source {
	s.once.Do(func() { s.alone = newLayouts([]SourceDeclared{s})[s.Provider] })
	src := Source{Name: name, Provider: s.Provider}
	src.provided = s.alone.provide()
	src.provided.own = &settings
	return src
}

// New returns a source with the default settings.
func (s *SourceSection[T]) New(name string) Source { return s.Source(name, s.Default) }

func (s *SourceSection[T]) provider() string { return s.Provider }

func (s *SourceSection[T]) make() any {
	value := s.Default
	return &value
}

func (s *SourceSection[T]) check(c *Checker, key string, src Source) {
	if s.Check != nil {
		s.Check(c, key, s.Of(src))
	}
}

// provided is the settings of a source that depend on its provider.
type provided struct {
	layout *layout
	own    any           // a pointer to the settings of its provider; nil if the provider is unknown
	others reflect.Value // a struct: the settings that only other providers have
	unused []string      // the keys of those in others that the settings contain
}

// clone returns a copy whose values can change.
func (p *provided) clone() *provided {
	copied := *p
	if p.own != nil {
		value := reflect.New(reflect.TypeOf(p.own).Elem())
		value.Elem().Set(reflect.ValueOf(p.own).Elem())
		copied.own = value.Interface()
	}
	copied.others = reflect.New(p.layout.others).Elem()
	copied.others.Set(p.others)
	copied.unused = slices.Clone(p.unused)
	return &copied
}

// parts returns the settings of the source, in the order of origin.
func (s *Source) parts() (l *layout, parts [3]reflect.Value) {
	l, parts[fromCommon] = everySource(), reflect.ValueOf(s).Elem()
	if p := s.provided; p != nil {
		l, parts[fromOthers] = p.layout, p.others
		if p.own != nil {
			parts[fromProvider] = reflect.ValueOf(p.own).Elem()
		}
	}
	return l, parts
}

// tree returns all settings as one struct, whose fields point to the values in s.
func (s *Source) tree() reflect.Value {
	l, parts := s.parts()
	made := reflect.New(l.tree).Elem()
	for _, leaf := range l.leaves {
		made.FieldByIndex(leaf.at).Set(leaf.of(parts).Addr())
	}
	return made
}

// notUsed records that the settings contain a key that the source's provider does not use.
func (s *Source) notUsed(key string) {
	if !s.contains(key) {
		s.provided.unused = append(s.provided.unused, key)
	}
}

// contains reports whether the settings contain a key that the source's provider does not use.
func (s *Source) contains(key string) bool { return slices.Contains(s.provided.unused, key) }

// SourceSetting is a setting that only the source's provider uses, for code that does not know the provider's settings.
type SourceSetting struct {
	Key    string   // "webhook.secrets"
	Values []string // of a list, or the lines of a text
	Secret bool
	File   bool // a secret or a certificate
	List   bool
	Lines  bool // a text that may have several lines
}

// Settings returns the settings that only the source's provider uses.
func (s Source) Settings() []SourceSetting {
	var all []SourceSetting
	l, parts := s.parts()
	for _, leaf := range l.leaves {
		if leaf.from != fromProvider {
			continue
		}
		is := leaf.setting(parts)
		_, list := is.value.Interface().([]string)
		all = append(all, SourceSetting{Key: is.key, Values: is.values(), Secret: is.secret != "", File: is.file, List: list, Lines: is.lines})
	}
	return all
}

// Secrets returns the values of all secrets, also of those that the source's provider does not use.
func (s Source) Secrets() []string {
	var all []string
	l, parts := s.parts()
	for _, leaf := range l.leaves {
		if is := leaf.setting(parts); is.secret != "" {
			all = append(all, is.values()...)
		}
	}
	return all
}

// UsesAPI reports whether any setting of the API differs from its default.
func (s Source) UsesAPI() bool {
	l, parts := s.parts()
	defaults := l.defaults()
	return slices.ContainsFunc(l.leaves, func(leaf leaf) bool {
		return strings.HasPrefix(leaf.key, "api.") && leaf.setting(parts).text() != leaf.setting(defaults).text()
	})
}

// Text returns the value of a setting, such as "api.token", as a person would write it; empty if the source does not have the setting.
func (s Source) Text(key string) string {
	is, _ := s.setting(key)
	return is.text()
}

// With returns the source with other values of some settings, each written as in "webhook.secrets=one,two". The keys are written in the code,
// so one that the source does not have is a programming error and panics.
func (s Source) With(settings ...string) Source {
	if s.provided != nil {
		s.provided = s.provided.clone()
	}
	for _, one := range settings {
		key, text, _ := strings.Cut(one, "=")
		is, known := s.setting(key)
		if !known {
			panic(fmt.Sprintf("config: a source of %q has no setting %s", s.Provider, key))
		}
		if err := is.set(text, ","); err != nil {
			panic(fmt.Sprintf("config: %s: %v", key, err))
		}
	}
	return s
}

func (s *Source) setting(key string) (is setting, known bool) {
	l, parts := s.parts()
	for _, leaf := range l.leaves {
		if leaf.key == key {
			return leaf.setting(parts), true
		}
	}
	return setting{value: reflect.ValueOf("")}, false
}

// DefaultSource returns the default settings that each source has.
func DefaultSource() Source { return Source{Locale: "en", Region: "US"} }

// fillDefaults sets the empty texts of s to their defaults.
func (s *Source) fillDefaults() {
	d := DefaultSource()
	if s.Locale == "" {
		s.Locale = d.Locale
	}
	if s.Region == "" {
		s.Region = d.Region
	}
	s.Reminders.fillDefaults()
	s.QuietHours.fillDefaults()
	s.Fallback.fillDefaults()
	if s.Keep == nil {
		s.Keep = []string{KeepCallbacks, KeepTexts}
	}
	s.Reconcile.fillDefaults()
	l, parts := s.parts()
	defaults := l.defaults()
	for _, leaf := range l.leaves {
		if leaf.from == fromProvider {
			if v := leaf.of(parts); v.Kind() == reflect.String && v.Len() == 0 {
				v.Set(leaf.of(defaults))
			}
		}
	}
}

// SourcesOf returns the entry of the sources for a list of settings. The settings of a source depend on its provider.
func SourcesOf(all ...SourceDeclared) Declared {
	return &sourceList{shared: shared{"sources", sourcesCheck, sourceWarnings}, layouts: sync.OnceValue(func() map[string]*layout { return newLayouts(all) })}
}

// sourceList is the entry of the sources.
type sourceList struct {
	shared
	layouts func() map[string]*layout // by provider; "" for an unknown one
}

// layouts returns the layouts of the sources, by provider.
func (c *Config) layouts() map[string]*layout {
	for _, e := range c.list() {
		if list, ok := e.of.(*sourceList); ok {
			return list.layouts()
		}
	}
	return map[string]*layout{"": everySource()}
}

func sourceWarnings(cfg Config) []Warning {
	var all []Warning
	for i := range cfg.Sources {
		s := &cfg.Sources[i]
		if s.provided == nil || s.provided.layout.of == nil { // the check reports the unknown provider
			continue
		}
		for _, leaf := range s.provided.layout.leaves {
			if leaf.from == fromOthers && s.contains(leaf.key) {
				all = append(all, Warning{sourceKey(i, leaf.key), fmt.Sprintf("%s does not use it (%s)", s.Provider, leaf.users), "remove it"})
			}
		}
	}
	return all
}
