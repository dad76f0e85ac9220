package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// setting is one leaf of the settings: the target of one flag or one variable.
type setting struct {
	key    string // "sms.vonage.api_key"
	secret string // its secret tag
	file   bool   // may come from a …_FILE variable
	once   bool   // and is read from there only at the start
	lines  bool   // may have several lines
	also   string // the name of one more variable
	unused bool   // it is a setting of a source that only other providers use
	value  reflect.Value
}

// settings lists the leaves of a struct in its own order: strings, numbers, durations, and lists of strings or durations.
func settings(v reflect.Value) []setting {
	var all []setting
	for i := range v.NumField() {
		field, value := v.Type().Field(i), reflect.Indirect(v.Field(i))
		key := field.Tag.Get("yaml")
		switch {
		case key == "-":
		case value.Kind() == reflect.Struct:
			for _, s := range settings(value) {
				s.key = key + "." + s.key
				all = append(all, s)
			}
		case value.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Struct: // the sources
		default:
			all = append(all, newSetting(key, field.Tag, value))
		}
	}
	return all
}

func newSetting(key string, tag reflect.StructTag, value reflect.Value) setting {
	secret := tag.Get("secret")
	return setting{
		key: key, secret: secret, value: value,
		file:   secret != "" || tag.Get("file") != "",
		once:   tag.Get("file") == "once",
		lines:  tag.Get("lines") != "",
		also:   tag.Get("variable"),
		unused: tag.Get("unused") != "",
	}
}

// variable returns the name of the setting's variable, which begins with prefix.
func (s setting) variable(prefix string) string { return prefix + variablePart(s.key) }

func variablePart(s string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(s))
}

// set reads text as the setting's type. A list is separated by separator.
func (s setting) set(text, separator string) error {
	switch s.value.Interface().(type) {
	case string:
		s.value.SetString(clean(text))
	case bool:
		b, err := strconv.ParseBool(clean(text))
		if err != nil {
			return fmt.Errorf("want true or false, not %q", shown(text))
		}
		s.value.SetBool(b)
	case int:
		n, err := strconv.Atoi(clean(text))
		if err != nil {
			return fmt.Errorf("want a whole number, not %q", shown(text))
		}
		s.value.SetInt(int64(n))
	case time.Duration:
		d, err := time.ParseDuration(clean(text))
		if err != nil {
			return fmt.Errorf("want a duration such as 500ms, 10s or 5m, not %q", shown(text))
		}
		s.value.SetInt(int64(d))
	case []string:
		var list []string
		for part := range strings.SplitSeq(text, separator) {
			if part = clean(part); part != "" {
				list = append(list, part)
			}
		}
		s.value.Set(reflect.ValueOf(list))
	case []time.Duration:
		list := []time.Duration{} // not nil: an empty list is not the default
		for part := range strings.SplitSeq(text, separator) {
			if part = clean(part); part == "" {
				continue
			}
			d, err := time.ParseDuration(part)
			if err != nil {
				return fmt.Errorf("want durations such as 72h or 30m, not %q", shown(part))
			}
			list = append(list, d)
		}
		s.value.Set(reflect.ValueOf(list))
	default:
		return fmt.Errorf("settings of type %s cannot be read from text", s.value.Type())
	}
	return nil
}

// list returns the elements of a list as a person would write them, and whether the setting is a list.
func (s setting) list() (elements []string, isList bool) {
	switch value := s.value.Interface().(type) {
	case []string:
		return value, true
	case []time.Duration:
		elements = make([]string, len(value))
		for i, d := range value {
			elements[i] = d.String()
		}
		return elements, true
	default:
		return nil, false
	}
}

// text returns the setting's value as a person would write it.
func (s setting) text() string {
	if list, ok := s.list(); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(s.value.Interface())
}

// values returns the elements of a list, or the lines of a text.
func (s setting) values() []string {
	if list, ok := s.list(); ok {
		return list
	}
	if s.lines {
		return Lines(s.text())
	}
	if text := s.text(); text != "" {
		return []string{text}
	}
	return nil
}

// Lookup returns the value of a setting as a person would write it, and whether there is such a setting.
func (c Config) Lookup(key string) (text string, known bool) {
	for _, s := range settings(c.tree()) {
		if s.key == key {
			return s.text(), true
		}
	}
	return "", false
}

// Text works like Lookup, for a key that is written in the code, such as "ingest.addr". An unknown key is a programming error, so Text
// panics.
func (c Config) Text(key string) string {
	text, known := c.Lookup(key)
	if !known {
		panic("config: no setting " + key)
	}
	return text
}
