package config_test

import (
	"strings"
	"testing"
	"time"
)

// Each form of the fallback gives its time, or an error that names the key and the mistake.
func TestFallback(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		yaml  string
		after time.Duration // 0 for off
		want  string        // in the error
	}{
		"default":      {"{}", 10 * time.Minute, ""},
		"zero":         {"{after: 0s}", 10 * time.Minute, ""},
		"off":          {"{disabled: true}", 0, ""},
		"off, a time":  {"{after: 5m, disabled: true}", 0, ""},
		"a second":     {"{after: 1s}", time.Second, ""},
		"three days":   {"{after: 72h}", 72 * time.Hour, ""},
		"too early":    {"{after: 10ms}", 0, "fallback.after: want a time from 1s to 72h"},
		"too late":     {"{after: 73h}", 0, "fallback.after: want a time from 1s to 72h"},
		"negative":     {"{after: -1m}", 0, "fallback.after: want a time from 1s to 72h"},
		"no duration":  {"{after: soon}", 0, "want a duration such as"},
		"a word":       {"{disabled: maybe}", 0, "want true or false"},
		"not a key":    {"{minutes: 10}", 0, "minutes"},
		"no structure": {"10m", 0, "fallback"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := loadChecked(t, in("webhook: {secrets: [t]}, "+"fallback: "+row.yaml))
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("%v, want %q", err, row.want)
				}
				return
			}
			if err != nil || len(cfg.Sources) != 1 {
				t.Fatalf("%v: %+v", err, cfg.Sources)
			}
			if f := cfg.Sources[0].Fallback; f.On() != (row.after > 0) || f.On() && f.After != row.after {
				t.Errorf("%+v, want %v", f, row.after)
			}
		})
	}
}
