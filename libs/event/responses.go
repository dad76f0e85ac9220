package event

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/batching"
)

// responses receives the responses to a connection's requests that have more than one response each. All requests share one subscription. The
// client library's own request takes only one response, and a subscription for each request costs 200 µs of CPU in the client and the server.
type responses struct {
	prefix       string // of the reply subjects; a number follows
	subscription *nats.Subscription

	mu      sync.Mutex
	last    uint64
	waiting map[string]chan *nats.Msg // by the number
	lasts   map[string]*batching.Queue[*lastCall]
}

// connections has the responses of each open connection.
var connections struct {
	mu  sync.Mutex
	all map[*nats.Conn]*responses
}

// responsesOf returns the responses of a connection.
func responsesOf(conn *nats.Conn) (*responses, error) {
	connections.mu.Lock()
	defer connections.mu.Unlock()
	if r := connections.all[conn]; r != nil && r.subscription.IsValid() {
		return r, nil
	}
	for other := range connections.all {
		if other.IsClosed() {
			delete(connections.all, other)
		}
	}
	r := &responses{prefix: conn.NewInbox() + ".", waiting: map[string]chan *nats.Msg{}, lasts: map[string]*batching.Queue[*lastCall]{}}
	var err error
	if r.subscription, err = conn.Subscribe(r.prefix+"*", r.receive); err != nil {
		return nil, fmt.Errorf("subscribe to responses: %w", err)
	}
	// The server limits the size of each request's responses (max_pending). Messages stay here only until receive has passed them on.
	if err := r.subscription.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("subscribe to responses: %w", err)
	}
	if connections.all == nil {
		connections.all = map[*nats.Conn]*responses{}
	}
	connections.all[conn] = r
	return r, nil
}

// receive passes a response to its request. It drops responses of requests that have ended, and never waits for a slow reader.
func (r *responses) receive(m *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.waiting[strings.TrimPrefix(m.Subject, r.prefix)] <- m:
	default:
	}
}

// begin returns the reply subject of a new request, and the channel of its responses, which has room for this number of them.
func (r *responses) begin(most int) (reply string, received <-chan *nats.Msg, end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	number := strconv.FormatUint(r.last, 36)
	into := make(chan *nats.Msg, most)
	r.waiting[number] = into
	return r.prefix + number, into, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.waiting, number)
	}
}

// request sends one request, and yields its responses, at most this number of them. The sequence has no end of its own: the caller recognizes the last
// response. It ends without an error at the deadline of ctx.
func request(ctx context.Context, conn *nats.Conn, subject string, body []byte, most int) iter.Seq2[*nats.Msg, error] {
	return func(yield func(*nats.Msg, error) bool) {
		r, err := responsesOf(conn)
		if err != nil {
			yield(nil, err)
			return
		}
		reply, received, end := r.begin(most)
		defer end()
		if err := conn.PublishRequest(subject, reply, body); err != nil {
			yield(nil, fmt.Errorf("send a request: %w", err))
			return
		}
		for range most {
			var m *nats.Msg
			select {
			case m = <-received:
			case <-ctx.Done():
				if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
					yield(nil, ctx.Err())
				}
				return
			}
			if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
				yield(nil, nats.ErrNoResponders)
				return
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}
