package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// message is one value of govulncheck's JSON output, as far as it is read here.
type message struct {
	OSV *struct {
		ID      string `json:"id"`
		Summary string `json:"summary"`
	} `json:"osv"`
	Finding *struct {
		OSV          string `json:"osv"`
		FixedVersion string `json:"fixed_version"`
		Trace        []struct {
			Module   string `json:"module"`
			Version  string `json:"version"`
			Package  string `json:"package"`
			Function string `json:"function"`
		} `json:"trace"`
	} `json:"finding"`
}

// parse describes each vulnerability whose code is reached, by its id. Code that is only required or imported is not reached.
func parse(output []byte) (map[string]string, error) {
	summaries, reached := map[string]string{}, map[string]string{}
	dec := json.NewDecoder(bytes.NewReader(output))
	for {
		var m message
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			return reached, nil
		} else if err != nil {
			return nil, fmt.Errorf("govulncheck's output: %w", err)
		}
		if m.OSV != nil {
			summaries[m.OSV.ID] = m.OSV.Summary
		}
		// The first frame is the vulnerable function, the last one ours.
		if f := m.Finding; f != nil && len(f.Trace) > 0 && f.Trace[0].Function != "" {
			first, last := f.Trace[0], f.Trace[len(f.Trace)-1]
			reached[f.OSV] = fmt.Sprintf("%s: %s: %s %s (fixed in %s), reached from %s.%s",
				f.OSV, summaries[f.OSV], first.Module, first.Version, cmp.Or(f.FixedVersion, "no version"), last.Package, last.Function)
		}
	}
}
