package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/printable"
)

// Every command reports a hostile argument without its control characters.
func TestNoCommandRepeatsControlCharacters(t *testing.T) {
	t.Parallel()
	for _, cmd := range commands {
		t.Run(cmd.name, func(t *testing.T) {
			t.Parallel()
			for _, args := range [][]string{{"--" + hostile}, {"--log.level", hostile}, {"--nats.url", hostile, filepath.Join(t.TempDir(), hostile)}} {
				var out, errs bytes.Buffer
				_ = dispatch(t.Context(), append(strings.Fields(cmd.name), args...), []string{"SIGNRELAY_DATA_DIR=" + t.TempDir()}, os.Stdin, &out, &errs)
				output := strings.ReplaceAll(out.String()+errs.String(), "\n", "")
				if strings.ContainsFunc(strings.ReplaceAll(output, "\t", ""), printable.Hidden) || output == "" {
					t.Errorf("%q prints %q", args, output)
				}
			}
		})
	}
}
