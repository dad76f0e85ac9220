package config

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// mask stands for a secret that is set.
const mask = "********"

// Print writes the settings as YAML, with every secret masked. The file that it writes can be loaded, but for the masks.
func Print(w io.Writer, cfg Config) error {
	maskSecrets(reflect.ValueOf(&cfg).Elem())
	cfg.Sources = slices.Clone(cfg.Sources)
	for i := range cfg.Sources {
		maskSecrets(reflect.ValueOf(&cfg.Sources[i]).Elem())
	}
	text, err := yaml.MarshalWithOptions(cfg, yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
	if err != nil {
		return fmt.Errorf("write settings as YAML: %w", err)
	}
	_, err = w.Write(text)
	return err
}

// maskSecrets masks in place; lists are replaced, because the caller's Config shares them.
func maskSecrets(v reflect.Value) {
	for _, s := range settings(v) {
		switch value := s.value.Interface().(type) {
		case string:
			s.value.SetString(masked(value, s.secret))
		case []string:
			if s.secret != "" {
				s.value.Set(reflect.ValueOf(slices.Repeat([]string{mask}, len(value))))
			}
		}
	}
}

func masked(value, secret string) string {
	switch {
	case value == "":
		return ""
	case secret == "true":
		return mask
	case secret == "urls":
		urls := strings.Split(value, ",")
		for i := range urls {
			urls[i] = maskPassword(urls[i])
		}
		return strings.Join(urls, ",")
	case secret == "url", strings.Contains(value, "://"):
		return maskPassword(value)
	default:
		return value
	}
}

// maskPassword masks what stands before a URL's host, but for a user's name before a password. It does not parse: what
// is no URL must be masked too.
func maskPassword(u string) string {
	at := strings.LastIndexByte(u, '@')
	if at < 0 {
		return u
	}
	start := 0
	if scheme := strings.Index(u[:at], "://"); scheme >= 0 {
		start = scheme + len("://")
	}
	user, _, hasPassword := strings.Cut(u[start:at], ":")
	if hasPassword {
		return u[:start] + user + ":" + mask + u[at:]
	}
	return u[:start] + mask + u[at:] // a token, as NATS has it
}
