package batching_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/batching"
)

// server records batches, and takes a second for each.
type server struct {
	mu      sync.Mutex
	batches [][]string
	ended   int // calls whose context ended first
}

func (s *server) queue(maxCount, maxBytes int) *batching.Queue[string] {
	return &batching.Queue[string]{
		Send: func(ctx context.Context, batch []string) {
			s.mu.Lock()
			s.batches = append(s.batches, slices.Clone(batch))
			s.mu.Unlock()
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				s.ended++
			}
		},
		Within: time.Minute, Size: func(v string) (int, int) { return 1, len(v) }, MaxCount: maxCount, MaxBytes: maxBytes,
	}
}

func (s *server) want(t *testing.T, batches ...[]string) {
	t.Helper()
	if diff := cmp.Diff(batches, s.batches); diff != "" {
		t.Error(diff)
	}
}

func TestCallersShareTheNextBatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		maxCount, maxBytes int
		values             []string // after "first"
		want               [][]string
	}{
		"no limit":                  {0, 0, []string{"a", "b", "c"}, [][]string{{"a", "b", "c"}}},
		"a limit of values":         {2, 0, []string{"a", "b", "c"}, [][]string{{"a", "b"}, {"c"}}},
		"a limit of bytes":          {0, 5, []string{"aaa", "bb", "c"}, [][]string{{"aaa", "bb"}, {"c"}}},
		"a value over the limit":    {0, 5, []string{"a", "bbbbbbbb", "c"}, [][]string{{"a"}, {"bbbbbbbb"}, {"c"}}},
		"exactly the limits":        {3, 3, []string{"a", "b", "c"}, [][]string{{"a", "b", "c"}}},
		"nothing while it is alone": {0, 0, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := new(server)
				q := s.queue(c.maxCount, c.maxBytes)
				var callers sync.WaitGroup
				for _, v := range append([]string{"first"}, c.values...) {
					callers.Go(func() {
						if sent, err := q.Do(t.Context(), v); !sent || err != nil {
							t.Error(v, sent, err)
						}
					})
					synctest.Wait() // the first is in flight, and the others wait in this order
				}
				callers.Wait()
				s.want(t, append([][]string{{"first"}}, c.want...)...)
			})
		})
	}
}

func TestACallerThatLeavesIsNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		q := s.queue(0, 0)
		ctx, leave := context.WithCancel(t.Context())
		results := make(map[string]bool)
		var mu sync.Mutex
		var callers sync.WaitGroup
		for _, v := range []string{"in flight", "waiting"} {
			callers.Go(func() {
				sent, err := q.Do(ctx, v)
				if !errors.Is(err, context.Canceled) {
					t.Error(v, err)
				}
				mu.Lock()
				defer mu.Unlock()
				results[v] = sent
			})
			synctest.Wait()
		}
		q.Add("later")
		leave()
		callers.Wait()
		if sent, err := q.Do(ctx, "too late"); sent || !errors.Is(err, context.Canceled) {
			t.Error("after the end of its context:", sent, err)
		}
		q.Wait()
		s.want(t, []string{"in flight"}, []string{"later"})
		if diff := cmp.Diff(map[string]bool{"in flight": true, "waiting": false}, results); diff != "" {
			t.Error("sent:", diff)
		}
		if s.ended != 0 {
			t.Error("the end of a caller's context ended its batch")
		}
	})
}

func TestASlowBatchEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		q := s.queue(0, 0)
		q.Within = time.Second / 2
		if sent, err := q.Do(t.Context(), "a"); !sent || err != nil {
			t.Error(sent, err)
		}
		if s.ended != 1 {
			t.Error("the context of the batch did not end")
		}
	})
}

func TestAddDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		q := s.queue(0, 0)
		began := time.Now()
		for i, v := range []string{"a", "b", "c"} {
			if i == 1 {
				synctest.Wait() // a is in flight
			}
			if waiting := q.Add(v); waiting != max(1, i) {
				t.Errorf("%s: %d wait, want %d", v, waiting, max(1, i))
			}
		}
		if time.Since(began) != 0 {
			t.Error("Add waited")
		}
		q.Wait()
		s.want(t, []string{"a"}, []string{"b", "c"})
	})
}

func TestConcurrentCallersAreEachSentOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	sent := map[int]int{}
	q := &batching.Queue[int]{
		Send: func(_ context.Context, batch []int) {
			mu.Lock()
			defer mu.Unlock()
			for _, v := range batch {
				sent[v]++
			}
		},
		Within: time.Minute, Size: func(int) (int, int) { return 1, 0 }, MaxCount: 7,
	}
	const callers, each = 16, 500
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for i := range each {
				v := caller*each + i
				if i%3 == 0 {
					q.Add(v)
				} else if _, err := q.Do(t.Context(), v); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	q.Wait()
	for v := range callers * each {
		if sent[v] != 1 {
			t.Fatalf("%d was sent %d times", v, sent[v])
		}
	}
}
