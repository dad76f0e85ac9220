package limit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/realtest"
)

// In a Redis Cluster, the keys of a rate are in one slot, and those of a tally in several. No total counts an item that another one refuses.
func TestLimitsInACluster(t *testing.T) {
	t.Parallel()
	server := realtest.RedisCluster(t, nil)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: strings.Split(strings.TrimPrefix(server.URL, "redis://"), ","), Protocol: 2})
	t.Cleanup(func() { _ = client.Close() })
	l := limit.NewRedis(client, keyring.New([]string{"key"}))
	if err := l.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		key := fmt.Sprint("link/", i)
		take(t, l, key, ever, 0, true)
	}
	for range 3 { // the same item is counted once
		count(t, l, "1", "a", limit.Counted)
	}
	count(t, l, "2", "a", limit.Counted)
	count(t, l, "3", "a", 0) // the hour's quota is full
	count(t, l, "2", "a", limit.Counted)
	count(t, l, "4", "b", limit.Counted)
	count(t, l, "5", "c", limit.Counted)
	count(t, l, "6", "d", 3) // the total is full
	count(t, l, "6", "d", 3)
	count(t, l, "5", "c", limit.Counted)
	// The refused item left nothing: "free" is not full, and counts the four.
	if text := client.Get(t.Context(), "signrelay:limit:{free}:count").Val(); !strings.HasPrefix(text, "4:") {
		t.Errorf("the total has %q, want 4 items", text)
	}
}
