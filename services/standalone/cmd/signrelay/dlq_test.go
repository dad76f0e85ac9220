package main

import (
	"bytes"
	"flag"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

func encoded(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestConfirmation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		yes       bool
		terminal  bool
		input     string
		confirmed bool
	}{
		"yes at a terminal":      {false, true, "y\n", true},
		"yes in full":            {false, true, " YES\n", true},
		"no":                     {false, true, "n\n", false},
		"return alone":           {false, true, "\n", false},
		"the terminal is closed": {false, true, "", false},
		"no terminal":            {false, false, "y\n", false},
		"--yes without terminal": {true, false, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := flag.NewFlagSet("", flag.ContinueOnError)
			fs.Bool("yes", c.yes, "")
			var out bytes.Buffer
			err := (&call{flags: fs, stdin: strings.NewReader(c.input), terminal: c.terminal, stdout: &out}).confirm(t.Context())
			if (err == nil) != c.confirmed {
				t.Errorf("%v", err)
			}
			if asked := strings.Contains(out.String(), "[y/N]"); asked != (c.terminal && !c.yes) {
				t.Errorf("asked for confirmation: %v", asked)
			}
		})
	}
}
