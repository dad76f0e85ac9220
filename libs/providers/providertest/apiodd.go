package providertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// oddities are values that providers put, or could put, where another type is documented.
var oddities = []string{`null`, `""`, `"x"`, `"null"`, `"email"`, `7`, `-1.5e9`, `true`, `false`, `[]`, `{}`, `[null]`, `["email"]`, `[[]]`, `{"x":[{}]}`}

// odd replaces each value of a response by each of the oddities. A response that can be read without the value must be readable with an odd
// one. No other person on the document may change.
func (s apiSuite) odd(t *testing.T) {
	if s.s.Everything == "" {
		t.Fatal("the suite needs a response with every field")
	}
	read := s.reader(t)
	want, err := read(s.s.Everything)
	if err != nil || len(want.Recipients) != 2 {
		t.Fatalf("%+v, %v", want, err)
	}
	var without [][]string // the optional values; of an object that is optional, only the object
	for _, path := range paths(decoded(t, s.s.Everything)) {
		if _, err := read(changed(t, s.s.Everything, nil, path)); err != nil {
			continue // a required value
		}
		if !slices.ContainsFunc(without, func(other []string) bool { return slices.Equal(other, path[:min(len(other), len(path))]) }) {
			without = append(without, path)
		}
		for _, value := range oddities {
			name := strings.Join(path, ".") + " is " + value
			got, err := read(changed(t, s.s.Everything, &value, path))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			s.wantOthers(t, name, path, want, got)
		}
	}
	for _, value := range oddities { // all optional values at once
		if _, err := read(changed(t, s.s.Everything, &value, without...)); err != nil {
			t.Errorf("all optional values are %s: %v", value, err)
		}
	}
}

// wantOthers checks that every person to whom the path does not belong is unchanged. If the path belongs to no person, it
// compares the ids of all people, because a document's fields may affect every person.
func (s apiSuite) wantOthers(t *testing.T, name string, path []string, want, got *pack.Document) {
	t.Helper()
	at := slices.IndexFunc(path, func(key string) bool { _, err := strconv.Atoi(key); return err == nil })
	if at < 0 {
		if len(got.Recipients) > 0 && !slices.EqualFunc(got.Recipients, want.Recipients, func(a, b pack.Recipient) bool { return a.ID == b.ID }) {
			t.Errorf("%s: %+v", name, got.Recipients)
		}
		return
	}
	other := want.Recipients[0]
	if path[at] == "0" {
		other = want.Recipients[1]
	}
	if !slices.ContainsFunc(got.Recipients, func(r pack.Recipient) bool { return cmp.Equal(r, other) }) {
		t.Errorf("%s: the other person is not among %+v", name, got.Recipients)
	}
}

// reader returns a function that reads a response with a new API client. All responses come from one server, because there are a thousand.
func (s apiSuite) reader(t *testing.T) func(response string) (*pack.Document, error) {
	t.Helper()
	var current atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, *current.Load()) }))
	t.Cleanup(server.Close)
	return func(response string) (*pack.Document, error) {
		t.Helper()
		current.Store(&response)
		return s.apiAt(t, server.URL, server.Client()).Document(t.Context(), Document)
	}
}

func decoded(t *testing.T, response string) any {
	t.Helper()
	var all any
	if err := json.Unmarshal([]byte(response), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// paths returns the paths of all values in a response, including objects and lists.
func paths(node any, under ...string) [][]string {
	var all [][]string
	if len(under) > 0 {
		all = append(all, slices.Clone(under))
	}
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			all = append(all, paths(value, append(slices.Clone(under), key)...)...)
		}
	case []any:
		for i, value := range node {
			all = append(all, paths(value, append(slices.Clone(under), strconv.Itoa(i))...)...)
		}
	}
	slices.SortFunc(all, slices.Compare)
	return all
}

// changed returns a response with another value at each of the paths, or without them.
func changed(t *testing.T, response string, value *string, at ...[]string) string {
	t.Helper()
	all := decoded(t, response)
	for _, path := range at {
		all = put(all, value, path)
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func put(node any, value *string, path []string) any {
	if len(path) == 0 {
		return json.RawMessage(*value)
	}
	last := len(path) == 1
	switch node := node.(type) {
	case map[string]any:
		if last && value == nil {
			delete(node, path[0])
		} else {
			node[path[0]] = put(node[path[0]], value, path[1:])
		}
	case []any:
		i, _ := strconv.Atoi(path[0])
		if last && value == nil {
			return slices.Delete(node, i, i+1)
		}
		node[i] = put(node[i], value, path[1:])
	}
	return node
}
