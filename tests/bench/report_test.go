package bench

import "testing"

func TestVerdict(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		r     row
		value float64
		want  string
	}{
		{row{target: 0.5, minimum: true}, 0.5, "met"},
		{row{target: 0.5, minimum: true}, 0.6, "met"},
		{row{target: 0.5, minimum: true}, 0.4, "missed"},
		{row{target: 8}, 8, "met"},
		{row{target: 8}, 7, "met"},
		{row{target: 8}, 9, "missed"},
		{row{}, 9, ""},
	} {
		if got := tt.r.verdict(tt.value); got != tt.want {
			t.Errorf("%+v: %v: %q, want %q", tt.r, tt.value, got, tt.want)
		}
	}
}

func TestRowsHaveTheirOwnKeys(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range table {
		if seen[r.key] {
			t.Errorf("two rows have the key %q", r.key)
		}
		seen[r.key] = true
	}
	before, err := readBaseline()
	if err != nil {
		t.Fatal(err)
	}
	for key := range before.Figures {
		if !seen[key] {
			t.Errorf("%s has the figure %q, which no row prints", baselineFile, key)
		}
	}
}
