// Command bare is the reference of the benchmarks: a net/http handler that reads the body and returns 202. With the URLs of NATS and Redis it
// also does the least that a callback needs, and shows what net/http and these exchanges cost without ingest's own code: an HMAC, a SET NX
// and a later SET in Redis pipelines that concurrent requests share, and one publish with the stream's ack. "bare stage <name>" is the same for a stage of
// a notification, see stages.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/batching"
)

func main() {
	if os.Args[1] == "stage" {
		a := os.Args[2:]
		log.Fatal(runStage(a[0], a[1], a[2], a[3], a[4]))
	}
	server := &http.Server{
		Addr: os.Args[1],
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			w.WriteHeader(http.StatusAccepted)
		}),
		ReadHeaderTimeout: 5 * time.Second,
	}
	if len(os.Args) > 2 {
		m, err := newMinimum(os.Args[2], os.Args[3])
		if err != nil {
			log.Fatal(err)
		}
		server.Handler = m
	}
	log.Fatal(server.ListenAndServe())
}

// minimum does the least that a callback needs, with the same clients as ingest.
type minimum struct {
	conn    *nats.Conn
	redis   *redis.Client
	batches *batching.Queue[*command]
}

// command claims or confirms an id.
type command struct {
	id      string
	confirm bool
	err     error
}

func newMinimum(natsURL, redisURL string) (*minimum, error) {
	conn, err := nats.Connect(natsURL)
	if err != nil {
		return nil, err
	}
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		return nil, err
	}
	m := &minimum{conn: conn, redis: redis.NewClient(options)}
	m.batches = &batching.Queue[*command]{Send: m.send, Within: 3 * time.Second, MaxCount: 512, Size: func(*command) (int, int) { return 1, 0 }}
	return m, nil
}

func (m *minimum) send(ctx context.Context, batch []*command) {
	pipe := m.redis.Pipeline()
	for _, c := range batch {
		if c.confirm {
			pipe.Set(ctx, c.id, "1", time.Hour)
		} else {
			pipe.SetNX(ctx, c.id, "claimed", time.Hour)
		}
	}
	_, err := pipe.Exec(ctx)
	for _, c := range batch {
		c.err = err
	}
}

func (m *minimum) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	mac := hmac.New(sha256.New, []byte("test"))
	mac.Write(body)
	id := hex.EncodeToString(mac.Sum(nil))
	if id != r.Header.Get("X-Pleasesign-Signature") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	claim := &command{id: id[:16]}
	if _, err := m.batches.Do(r.Context(), claim); err != nil || claim.err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	msg := &nats.Msg{Subject: "signing.v1.demo.pleasesign.recipient.opened." + id[:16], Header: nats.Header{"Nats-Msg-Id": {id[:26]}}, Data: body}
	if _, err := m.conn.RequestMsgWithContext(r.Context(), msg); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	m.batches.Add(&command{id: id[:16], confirm: true})
}
