// Package telemetry has logs without personal data and secrets, and OpenTelemetry traces, which are optional.
package telemetry

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"

	"github.com/signrelay/signrelay/libs/printable"
)

// Logger writes JSON lines from the given level on (debug, info, warn, error; any other text means info), each with the service's name. It
// masks attributes whose key names personal data or a secret. In all messages, texts and errors it also masks e-mail addresses, phone
// numbers, and everything in a URL except its scheme and host.
func Logger(w io.Writer, level, service string) *slog.Logger {
	var from slog.Level
	if err := from.UnmarshalText([]byte(level)); err != nil {
		from = slog.LevelInfo
	}
	handler := slog.NewJSONHandler(printable.JSONWriter(w), &slog.HandlerOptions{Level: from, ReplaceAttr: maskAttr})
	return slog.New(handler).With("service", service)
}

// maskAttr masks every attribute, also in groups, and the message. Values without text stay unchanged.
func maskAttr(groups []string, a slog.Attr) slog.Attr {
	personal := isPersonal(a.Key)
	for _, g := range groups {
		personal = personal || isPersonal(g)
	}
	switch a.Value.Kind() {
	case slog.KindBool, slog.KindDuration, slog.KindTime:
	case slog.KindString:
		a.Value = slog.StringValue(maskText(a.Value.String(), personal))
	case slog.KindAny:
		a.Value = maskAny(a.Value.Any(), personal)
	default: // numbers
		if personal {
			a.Value = slog.StringValue(masked)
		}
	}
	return a
}

func maskText(s string, personal bool) string {
	if personal && s != "" {
		return masked
	}
	return Mask(s)
}

// maskAny masks a value in the form in which the handler would write it: the text of an error, or the JSON tree of any other value.
func maskAny(v any, personal bool) slog.Value {
	switch v := v.(type) {
	case nil, *slog.Source:
		return slog.AnyValue(v)
	case slog.Level:
		return slog.AnyValue(v)
	case error:
		return slog.StringValue(maskText(v.Error(), personal))
	}
	if personal {
		return slog.StringValue(masked)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return slog.StringValue("cannot be written as JSON")
	}
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return slog.StringValue("cannot be read as JSON")
	}
	return slog.AnyValue(maskTree(tree, false))
}

func maskTree(tree any, personal bool) any {
	switch v := tree.(type) {
	case string:
		return maskText(v, personal)
	case json.Number:
		if personal {
			return masked
		}
	case []any:
		for i := range v {
			v[i] = maskTree(v[i], personal)
		}
	case map[string]any:
		for key := range v {
			v[key] = maskTree(v[key], personal || isPersonal(key))
		}
	}
	return tree
}
