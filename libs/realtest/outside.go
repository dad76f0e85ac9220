package realtest

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// The time for which a test owns a database of the outside Redis. It is longer than any test binary may run: go test ends it after ten
// minutes.
const databaseLease = 11 * time.Minute

// outsideRedis returns one database of a Redis that a test must not stop, behind a proxy that it can stop.
func outsideRedis(t testing.TB, url string) *RedisServer {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal("SIGNRELAY_TEST_REDIS_URL is not redis://…")
	}
	db := takeDatabase(t, *o)
	d := &proxy{t: t, to: o.Addr}
	d.open()
	r := &RedisServer{start: d.open, stop: d.close, up: true}
	auth := ""
	if o.Password != "" {
		auth = o.Username + ":" + o.Password + "@"
	}
	r.URL = "redis://" + auth + d.addr + "/" + strconv.Itoa(db)
	t.Cleanup(r.Stop)
	return r
}

// takeDatabase takes one of the databases 1 to 15 that no other test uses, and empties it. Database 0 stores the owner of each database.
func takeDatabase(t testing.TB, o redis.Options) int {
	t.Helper()
	o.DB = 0
	register := plainClient(&o)
	t.Cleanup(func() { _ = register.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		for db := 1; db < 16; db++ {
			key := "realtest:database:" + strconv.Itoa(db)
			free, err := register.SetNX(ctx, key, 1, databaseLease).Result()
			if err != nil {
				t.Fatalf("Redis at SIGNRELAY_TEST_REDIS_URL: %v", err)
			}
			if !free {
				continue
			}
			t.Cleanup(func() { register.Del(context.Background(), key) })
			o.DB = db
			mine := plainClient(&o)
			defer func() { _ = mine.Close() }()
			if err := mine.FlushDB(ctx).Err(); err != nil {
				t.Fatalf("empty database %d: %v", db, err)
			}
			return db
		}
		select {
		case <-ctx.Done():
			t.Fatal("no database of SIGNRELAY_TEST_REDIS_URL was free for a minute")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// proxy is a TCP proxy that forwards connections while it is open.
type proxy struct {
	t    testing.TB
	to   string
	addr string // the same from the first opening on

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
}

func (d *proxy) open() {
	d.t.Helper()
	addr := d.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		d.t.Fatalf("proxy to Redis: %v", err)
	}
	d.mu.Lock()
	d.addr, d.listener, d.conns = l.Addr().String(), l, map[net.Conn]bool{}
	d.mu.Unlock()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return // closed
			}
			go d.pass(l, in)
		}
	}()
}

// pass copies both ways until either side, or the proxy, closes.
func (d *proxy) pass(l net.Listener, in net.Conn) {
	defer func() { _ = in.Close() }()
	out, err := net.Dial("tcp", d.to)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()

	d.mu.Lock()
	if d.listener != l { // closed in the meantime
		d.mu.Unlock()
		return
	}
	d.conns[in] = true
	d.mu.Unlock()
	go func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	}()
	_, _ = io.Copy(in, out)

	d.mu.Lock()
	delete(d.conns, in)
	d.mu.Unlock()
}

func (d *proxy) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.listener.Close()
	d.listener = nil
	for c := range d.conns {
		_ = c.Close()
	}
}
