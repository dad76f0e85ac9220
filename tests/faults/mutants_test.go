package faults

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/tests/testenv"
)

// mutant is a deliberate mistake in a copy of one file, which the proof must detect.
type mutant struct {
	name, file string
	was, is    string

	service string // it has the mistake
	point   string // where it dies; empty if an outside party causes the fault
	behaves func() behaviour
	sees    func(result) bool
}

func lostOrGivenUp(r result) bool { return r.Lost > 0 || r.Given > 0 }

var mutants = []mutant{
	{
		name: "a stage acks before it publishes", file: "libs/stage/publish.go",
		was:     `crash.Point("made")`,
		is:      `_ = a.msg.DoubleAck(ctx); crash.Point("made")`,
		service: "enricher", point: "made@20", sees: lostOrGivenUp,
	},
	{
		name: "a stage does not extend its lease", file: "libs/stage/lease.go",
		was:     `return extend(conn, a.msg.Reply())`,
		is:      `return false`,
		service: "email-sender",
		behaves: func() behaviour { return behaviour{mail: firstCalls(2, slowest)} },
		sees:    func(r result) bool { return r.Again > 0 },
	},
	{
		name: "a bare Nak", file: "libs/stage/settle.go",
		was: `msg.NakWithDelay(d.Wait(rand.Float64()))`,
		is:  `func() error { _ = d.Wait(rand.Float64()); return msg.Nak() }()`, service: "enricher",
		behaves: func() behaviour {
			var began time.Time // set by the first call, under the world's lock
			return behaviour{rest: func(n int) response {
				if n == 1 {
					began = time.Now()
				}
				if time.Since(began) < 15*time.Second {
					return refuse
				}
				return well
			}}
		},
		// With this mutant, the stage calls the outside party without a pause, although no input becomes a dead letter too early. The
		// backoff allows five deliveries in 15 s.
		sees: func(r result) bool { return r.Again > 20*r.Accepted },
	},
}

// TestMutantsAreDetected breaks the order of steps. With the mutant, the fault must cause a failure in the table; without it, the same fault is harmless.
func TestMutantsAreDetected(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			for _, as := range []testenv.Variant{crashing, m.variant(t)} {
				s := m.stand(t, as)
				r := s.measure(t, "("+as.Name+") "+m.name, func() {
					if m.point != "" {
						s.diesOnce(t, m.service)
					}
				})
				broken := as.Name != crashing.Name
				if saw := m.sees(r) || r.Lost+r.Doubled > 0; saw != broken {
					t.Errorf("broken %v, seen %v: %+v", broken, saw, r)
				}
				for _, p := range s.Processes {
					p.Kill() // the next stand needs the CPU
				}
			}
		})
	}
}

func (m mutant) stand(t *testing.T, as testenv.Variant) *stand {
	t.Helper()
	b := behaviour{}
	if m.behaves != nil {
		b = m.behaves()
	}
	return newStand(t, "mutant-"+strings.Fields(m.name)[1], b, 1, map[string]string{m.service: m.point}, as)
}

// The table quotes the sources exactly as they are.
func TestMutantsMatchTheSources(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		source, err := os.ReadFile(filepath.Join(testenv.Root(), m.file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(source), m.was) != 1 {
			t.Errorf("%s does not have %q exactly once: update the mutant %q", m.file, m.was, m.name)
		}
	}
}

// variant builds the programs with the mistake in the current file.
func (m mutant) variant(t *testing.T) testenv.Variant {
	t.Helper()
	return edited(t, "mutant "+m.name, m.file, m.was, m.is)
}

// edited builds the programs with the points of package crash and with replacements in one file, as it is now. Each replaced text must occur once.
func edited(t *testing.T, name, file string, wasIs ...string) testenv.Variant {
	t.Helper()
	path := filepath.Join(testenv.Root(), file)
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(wasIs); i += 2 {
		if strings.Count(string(source), wasIs[i]) != 1 {
			t.Fatalf("%s does not have %q exactly once: update %q", file, wasIs[i], name)
		}
	}
	dir := t.TempDir()
	replaced := filepath.Join(dir, "replaced.go")
	if err := os.WriteFile(replaced, []byte(strings.NewReplacer(wasIs...).Replace(string(source))), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	data, err := json.Marshal(map[string]map[string]string{"Replace": {path: replaced}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return testenv.Variant{Name: name, Args: []string{"-tags", "faults", "-overlay", overlay}}
}
