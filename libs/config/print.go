package config

import (
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// mask replaces a secret that is set.
const mask = "********"

// Print writes the settings as YAML, with every secret masked. Its output can be loaded, except for the masks.
func Print(w io.Writer, cfg Config) error {
	cfg.detach()
	sources := make([]yaml.MapSlice, len(cfg.Sources))
	for i := range cfg.Sources {
		tree := cfg.Sources[i].tree()
		maskSecrets(tree)
		sources[i] = cfg.Sources[i].printed("", tree)
	}
	all := cfg.treeWith(reflect.ValueOf(&sources))
	maskSecrets(all)
	text, err := yaml.MarshalWithOptions(all.Interface(), yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
	if err != nil {
		return fmt.Errorf("write settings as YAML: %w", err)
	}
	_, err = w.Write(text)
	return err
}

// printed returns the keys and values of one level. Keys that only other providers use are among them if the settings contain them.
func (s *Source) printed(above string, level reflect.Value) yaml.MapSlice {
	var all yaml.MapSlice
	for i := range level.NumField() {
		tag, value := level.Type().Field(i).Tag, reflect.Indirect(level.Field(i))
		key := tag.Get("yaml")
		if value.Kind() == reflect.Struct {
			if below := s.printed(above+key+".", value); below != nil {
				all = append(all, yaml.MapItem{Key: key, Value: below})
			}
		} else if tag.Get("unused") == "" || s.contains(above+key) {
			all = append(all, yaml.MapItem{Key: key, Value: value.Interface()})
		}
	}
	return all
}

// maskSecrets masks in place; lists are replaced, because the caller's Config shares them.
func maskSecrets(v reflect.Value) {
	for _, s := range settings(v) {
		switch value := s.value.Interface().(type) {
		case string:
			s.value.SetString(s.masked(value))
		case []string:
			list := slices.Clone(value)
			for i := range list {
				list[i] = s.masked(list[i])
			}
			s.value.Set(reflect.ValueOf(list))
		}
	}
}

func (s setting) masked(value string) string {
	switch {
	case value == "":
		return ""
	case s.secret == "true":
		return mask
	case s.secret != "", strings.HasSuffix(s.key, "url"):
		return maskURL(value)
	default:
		return shown(value)
	}
}

// shown returns a setting's value in the form in which an error may quote it.
func shown(value string) string {
	if strings.Contains(value, "://") || credentials.MatchString(value) {
		return maskURL(value)
	}
	return value
}

// credentials is user:password@host without a scheme.
var credentials = regexp.MustCompile(`^[^\s"<]*:[^\s"<]*@`)

// maskURL masks all possible secrets in a URL, or in several URLs with commas.
func maskURL(text string) string {
	urls := strings.Split(text, ",")
	if slices.ContainsFunc(urls[1:], func(u string) bool { return strings.Contains(u, "@") && !strings.Contains(u, "://") }) {
		return maskOneURL(text) // the comma may be part of a password
	}
	for i := range urls {
		urls[i] = maskOneURL(urls[i])
	}
	return strings.Join(urls, ",")
}

// maskOneURL masks the part before the host (except a user name before a password), the values in the query, and the fragment. It
// does not parse the URL, because an invalid URL must be masked too.
func maskOneURL(u string) string {
	begin := 0
	if scheme := strings.Index(u, "://"); scheme >= 0 {
		begin = scheme + len("://")
	}
	if at := strings.LastIndexByte(u, '@'); at >= begin {
		if strings.ContainsAny(u[begin:at], "?#") { // part of a password, or the beginning of the query
			return u[:begin] + mask
		}
		user, _, hasPassword := strings.Cut(u[begin:at], ":")
		if hasPassword {
			user += ":"
		} else {
			user = "" // a token, as in NATS URLs
		}
		begin, u = begin+len(user)+len(mask), u[:begin]+user+mask+u[at:]
	}
	at := strings.IndexAny(u[begin:], "?#")
	if at < 0 {
		return u
	}
	at += begin
	query, _, hasFragment := strings.Cut(u[at+1:], "#")
	if u[at] == '#' {
		query, hasFragment = "", true
	}
	var masked strings.Builder
	masked.WriteString(u[:at])
	for i, pair := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, named := strings.Cut(pair, "=")
		if !named {
			name = mask
		} else {
			name += "=" + mask
		}
		masked.WriteByte("?&"[min(i, 1)])
		masked.WriteString(name)
	}
	if hasFragment {
		masked.WriteString("#" + mask)
	}
	return masked.String()
}
