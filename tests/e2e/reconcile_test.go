package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/tests/testenv"
)

// The operator asks for a reconciliation. The callbacks of the story have all arrived, so it finds nothing, and prints its table.
func TestAnOperatorReconcilesASource(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	h.Play(t, "pleasesign", "two-signers")
	h.WaitIdle(t)
	out, err := h.Command(t, "reconcile", "--yes", "--json", "--since", "1d", "pleasesign/demo")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var is struct {
		LookedAt  int `json:"looked_at"`
		Published int
		Since     string
	}
	_, line, _ := strings.Cut(out, "{") // the progress comes before it
	if err := json.Unmarshal([]byte("{"+line), &is); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if is.LookedAt == 0 || is.Published != 0 || is.Since == "" {
		t.Errorf("%s", out)
	}
	table, err := h.Command(t, "reconcile", "--yes", "clickwrap/demo")
	if err != nil || !strings.Contains(table, "documents looked at") {
		t.Errorf("%v: %s", err, table)
	}
	for _, args := range [][]string{{"reconcile", "pleasesign/demo"}, {"reconcile", "--yes", "demo"}, {"reconcile", "--yes", "pleasesign/nobody"}} {
		if out, err := h.Command(t, args...); err == nil {
			t.Errorf("%q: %s", args, out)
		}
	}
}
