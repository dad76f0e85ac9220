package providertest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// checkGolden compares events with testdata/<recording>.golden.json, a list of events as protojson.
func checkGolden(t *testing.T, name string, events []*signingv1.SigningEvent) {
	got := golden(t, events)
	path := filepath.Join("testdata", name+".golden.json")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -update and review the written file", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

// golden formats the events itself: protojson varies its white space on purpose.
func golden(t *testing.T, events []*signingv1.SigningEvent) []byte {
	t.Helper()
	list := make([]json.RawMessage, len(events))
	for i, e := range events {
		var err error
		if list[i], err = protojson.Marshal(e); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(list); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
