package bench

import (
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/tests/testenv"
)

// profileFile is the profile with which released programs are compiled (.ci/build).
const profileFile = "../../services/standalone/release.pgo"

// BenchmarkProfile writes profileFile when -update is given: the CPU profiles of the services while they work on notifications, and of ingest while it
// only stores callbacks. One profile for all programs lets the compiler share its work between them. The profile names functions and lines, and no file.
func BenchmarkProfile(b *testing.B) {
	if !*update {
		b.Skip("-update writes " + profileFile)
	}
	const seconds = 15
	var all []*profile.Profile
	for b.Loop() {
		upstream := testenv.NewSlowUpstream(b, 0)
		upstream.Mail = true
		post := newMailbox(b)
		h := testenv.LazySync(b, func(h *testenv.Env) string { return settings(h, upstream, post.address) })
		profiled := append([]string{"ingest"}, notifying...)
		for _, name := range profiled {
			h.StartService(b, name, name, "SIGNRELAY_ADMIN_PPROF=true")
		}
		first := 0
		for _, kind := range []string{"activity_visited", "request_sent"} {
			var profiles errgroup.Group
			var mutex sync.Mutex
			for _, name := range profiled {
				if kind == "activity_visited" && name != "ingest" {
					continue
				}
				profiles.Go(func() error {
					response, err := http.Get(h.Processes[name].AdminURL() + "/debug/pprof/profile?seconds=15")
					if err != nil {
						return err
					}
					defer func() { _ = response.Body.Close() }()
					p, err := profile.Parse(response.Body)
					if err != nil {
						return err
					}
					mutex.Lock()
					defer mutex.Unlock()
					all = append(all, withoutFiles(p))
					return nil
				})
			}
			for until := time.Now().Add(seconds * time.Second); time.Now().Before(until); first += 1000 {
				load(b, h.IngestURL+"/webhooks/clickwrap/demo", clickwrapFrom(first, 1000, kind), connections)
			}
			if err := profiles.Wait(); err != nil {
				b.Fatal(err)
			}
		}
	}
	merged, err := profile.Merge(all)
	if err != nil {
		b.Fatal(err)
	}
	file, err := os.Create(profileFile)
	if err != nil {
		b.Fatal(err)
	}
	if err := merged.Write(file); err != nil {
		b.Fatal(err)
	}
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
}

// withoutFiles removes the names of the files of the machine that made a profile. The compiler reads the names of functions, and lines.
func withoutFiles(p *profile.Profile) *profile.Profile {
	for _, f := range p.Function {
		f.Filename = ""
	}
	for _, m := range p.Mapping {
		m.File, m.BuildID = "", ""
	}
	p.Comments = nil
	for _, s := range p.Sample {
		s.Label, s.NumLabel = nil, nil
	}
	return p
}
