package realtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/realtest"
)

func TestBrokerKeepsItsStreamsAndItsAddress(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	broker := realtest.NATS(t)
	conn, js := broker.Connect()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	before := broker.URL

	broker.Stop()
	if err := conn.FlushTimeout(200 * time.Millisecond); err == nil {
		t.Fatal("a stopped broker still responds")
	}

	broker.Start()
	if broker.URL != before {
		t.Fatalf("moved from %s to %s", before, broker.URL)
	}
	_, js = broker.Connect()
	stream, err := js.Stream(ctx, "S")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 1 {
		t.Fatalf("%d messages after a restart, want 1", n)
	}
}

func TestRedisKeepsItsKeysAndItsAddress(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	server := realtest.Redis(t)
	opts, err := redis.ParseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	defer func() { _ = client.Close() }()
	if err := client.Set(ctx, "k", "kept", 0).Err(); err != nil {
		t.Fatal(err)
	}

	server.Stop()
	if err := client.Ping(ctx).Err(); err == nil {
		t.Fatal("a stopped Redis still responds")
	}

	server.Start()
	if got, err := client.Get(ctx, "k").Result(); err != nil || got != "kept" {
		t.Fatalf("after a restart: %q, %v", got, err)
	}
}

func TestEveryTestHasItsOwnRedis(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	for range 2 {
		opts, err := redis.ParseURL(realtest.Redis(t).URL)
		if err != nil {
			t.Fatal(err)
		}
		client := redis.NewClient(opts)
		defer func() { _ = client.Close() }()
		if taken, err := client.SetNX(ctx, "mine", 1, 0).Result(); err != nil || !taken {
			t.Fatalf("key is not free: %v, %v", taken, err)
		}
	}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
