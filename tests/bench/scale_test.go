package bench

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// Tables in documents are those of the baseline; -update writes them.
func TestDocumentsHaveTheTables(t *testing.T) {
	t.Parallel()
	measured, err := readBaseline()
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"scale.md": scaleTable(measured), "performance.md": performanceTable(measured)} {
		const begin, end = "<!-- table: begin -->\n", "<!-- table: end -->"
		path := filepath.Join(testenv.Root(), "docs", file)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, found := strings.Cut(string(data), begin)
		old, after, ended := strings.Cut(rest, end)
		switch {
		case !found || !ended:
			t.Errorf("%s has no place for the table", path)
		case old == want:
		case !*update:
			t.Errorf("docs/%s has another table than the baseline: run `cd tests && go test ./bench -run TestDocumentsHaveTheTables -update`\n%s", file, want)
		default:
			if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestModelAgreesWithTheory(t *testing.T) {
	t.Parallel()
	p := party{stage: flow.Enricher, median: 200 * time.Millisecond, p99: 200 * time.Millisecond} // 200 ms each time
	if wait := p.wait(1, 16); wait != 0 {
		t.Errorf("one input a second at 16 workers waits %v", wait)
	}
	if wait := p.wait(100, 16); wait < time.Minute {
		t.Errorf("100 inputs a second at 16 workers, which settle 80, wait only %v", wait)
	}
	// M/D/1 with 80% load: the mean wait is 0.8/(2·0.2) = 2 service times; its 99th percentile is about 10.
	if wait := p.wait(4, 1).Seconds() / 0.2; wait < 8 || wait > 12 {
		t.Errorf("M/D/1 at 80%%: the 99th percentile of the wait is %.1f service times", wait)
	}
	if n := p.replicas(150); n != 2 {
		t.Errorf("150 inputs a second need %d replicas of 80 each", n)
	}
	costs := baseline{Callback: cost{"nats" + cpuSuffix: 40, redisMemory: 120}, Notification: cost{
		"nats" + cpuSuffix: 1350, "ingest" + cpuSuffix: 120, flow.Signing + diskSuffix: 3400, redisMemory: 2020,
	}}
	got := year{callbacks: 1e9, share: 1}.needs(costs)
	for what, values := range map[string][2]float64{
		"mean":    {got.mean, 31.7},
		"SIGNING": {got.signing / 1e12, 0.84},
		"Redis":   {got.memory / 1e9, 79.4},
		"NATS":    {got.nats, 317 * 1350e-6 / used},
	} {
		if math.Abs(values[0]/values[1]-1) > 0.01 {
			t.Errorf("%s: %.3g, want %.3g", what, values[0], values[1])
		}
	}
}
