package providertest

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// checkNothingLost looks in the events for every scalar of the request. It reads the request with encoding/json and the standard library's
// forms, not with the packs' own reader.
func checkNothingLost(t *testing.T, s Setup, r pack.Request, events []*signingv1.SigningEvent) {
	texts := map[string]bool{}
	for _, e := range events {
		collect(e.ProtoReflect(), texts)
	}
	l := leaves{t: t, events: events, texts: texts, secrets: s.Source.Secrets()}

	switch {
	case r.Method == http.MethodGet:
		l.form(r.Query, s.Credentials)
	case formOf(r) != nil:
		l.form(formOf(r), s.Credentials)
	default:
		l.value("", decode(t, r.Body))
	}
	if l.seen == 0 {
		t.Error("the request has no scalar to look for")
	}
}

type leaves struct {
	t       *testing.T
	events  []*signingv1.SigningEvent
	texts   map[string]bool
	secrets []string
	seen    int
}

// form looks for every field, and for every leaf of a field that contains JSON (a batch's data).
func (l *leaves) form(values url.Values, credentials []string) {
	for name, list := range values {
		if slices.Contains(credentials, name) {
			continue
		}
		for _, text := range list {
			if text != "" && (text[0] == '[' || text[0] == '{') && json.Valid([]byte(text)) {
				l.embedded(decode(l.t, []byte(text)))
			} else {
				l.text(name, text)
			}
		}
	}
}

func (l *leaves) embedded(v any) {
	if items, ok := v.([]any); ok {
		for _, item := range items {
			l.value("", item)
		}
		return
	}
	l.value("", v)
}

func (l *leaves) value(path string, v any) {
	l.seen++
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 && path != "" {
			l.attribute(path, "{}")
		}
		for key, inner := range v {
			if path != "" {
				key = path + "." + key
			}
			l.value(key, inner)
		}
	case []any:
		if !slices.ContainsFunc(l.events, func(e *signingv1.SigningEvent) bool {
			text, ok := e.GetAttributes()[path]
			return ok && json.Valid([]byte(text)) && reflect.DeepEqual(decode(l.t, []byte(text)), any(v))
		}) {
			l.t.Errorf("the list %q is in no attribute", path)
		}
	case string:
		l.text(path, v)
	case json.Number:
		l.text(path, v.String())
	case bool:
		l.attribute(path, strconv.FormatBool(v))
	case nil:
		l.attribute(path, "")
	}
}

// text looks for a string or a number in all fields. It looks for an empty string only under its own name, because it matches everywhere.
func (l *leaves) text(path, text string) {
	l.seen++
	switch {
	case text == "":
		l.attribute(path, "")
	case slices.Contains(l.secrets, text):
		if l.texts[text] {
			l.t.Errorf("%q is a secret and was stored", path)
		}
	case !l.texts[text]:
		l.t.Errorf("%q is not in the events", path)
	}
}

func (l *leaves) attribute(path, want string) {
	if !slices.ContainsFunc(l.events, func(e *signingv1.SigningEvent) bool {
		got, ok := e.GetAttributes()[path]
		return ok && got == want
	}) {
		l.t.Errorf("no attribute %q is %q", path, want)
	}
}

// collect gathers every string of a message, and of the messages in it.
func collect(m protoreflect.Message, texts map[string]bool) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				texts[v.String()] = true
				return true
			})
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				collect(v.List().Get(i).Message(), texts)
			}
		case f.Message() != nil:
			collect(v.Message(), texts)
		case f.Kind() == protoreflect.StringKind && !generated[f.Name()]:
			texts[v.String()] = true
		}
		return true
	})
}

// generated lists the fields that Signrelay generates: a leaf that equals one of them by chance is not stored there.
var generated = map[protoreflect.Name]bool{"source": true, "provider": true, "type": true}

func decode(t *testing.T, data []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal("the body is not JSON:", err)
	}
	return v
}

// formOf returns the form in a request's body; nil if it is not a form.
func formOf(r pack.Request) url.Values {
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "application/x-www-form-urlencoded":
		values, _ := url.ParseQuery(string(r.Body))
		return values
	case "multipart/form-data":
		values := url.Values{}
		for parts := multipart.NewReader(bytes.NewReader(r.Body), params["boundary"]); ; {
			part, err := parts.NextPart()
			if err != nil {
				return values
			}
			value, _ := io.ReadAll(part)
			values.Add(part.FormName(), string(value))
		}
	}
	return nil
}
