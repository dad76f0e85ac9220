package shortener

import (
	"sync"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/servicetest"
)

// Many replicas make the link of one person at the same moment: they all get one, and only one stands in the book.
func TestRacingReplicasAgreeOnOneCode(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, config.Config{})
	l := link{Target: "https://provider.example/r", Source: "acme", Provider: "clickwrap", Document: "doc", Recipient: "s1", Purpose: "sign"}
	const replicas = 16
	codes := make([]string, replicas)
	start := make(chan struct{})
	var done sync.WaitGroup
	for i := range replicas {
		bucket, err := b.Env.JS.KeyValue(t.Context(), flow.Links)
		if err != nil {
			t.Fatal(err)
		}
		done.Go(func() {
			<-start
			code, err := book{bucket: bucket}.code(t.Context(), l)
			if err != nil {
				t.Error(err)
			}
			codes[i] = code
		})
	}
	close(start)
	done.Wait()

	bucket, err := b.Env.JS.KeyValue(t.Context(), flow.Links)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range codes {
		opened, err := book{bucket: bucket}.open(t.Context(), code)
		if code != codes[0] || err != nil || opened != l {
			t.Errorf("code %q, the first is %q; behind it is %v, %v", code, codes[0], opened, err)
		}
	}
	keys, err := bucket.Keys(t.Context())
	if err != nil || len(keys) != 2 {
		t.Errorf("%d entries in the book, want the code and the pair: %v", len(keys), err)
	}
}
