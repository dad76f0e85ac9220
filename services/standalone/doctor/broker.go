package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
)

// What of the NATS server the services need.
const (
	oldestNATS = "2.12" // the first with scheduled messages
)

// broker is everything about NATS, over one connection.
func (e *examination) broker(ctx context.Context) []Finding {
	conn, err := e.connectNATS()
	if err != nil {
		return []Finding{{"nats", Fail, told(err), "is it running, does nats.url lead there, and is who nats.user or nats.creds says let in?"}}
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return []Finding{{"nats", Fail, told(err), "start the server with JetStream"}}
	}
	all := []Finding{fine("nats", "reached"), version(conn), payload(conn)}
	found, mayAsk := e.permissions(ctx, conn)
	all = append(all, found...)
	if mayAsk {
		all = append(all, e.streams(ctx, conn, js)...)
	} else { // a request that is not allowed gets no response
		all = append(all, Finding{"streams", Fail, "not compared: the credentials may not ask about all of them", "see \"permissions\""})
	}
	return append(all, e.fsync(ctx))
}

// connectWithin is how long the broker, or another server, may take to let us in; a person is waiting.
const connectWithin = 5 * time.Second

// connectNATS connects as the services do, but once: what is not there now is not there.
func (e *examination) connectNATS() (*nats.Conn, error) {
	settings := e.cfg.NATS
	settings.Options = append(slices.Clone(settings.Options), nats.RetryOnFailedConnect(false), nats.Timeout(connectWithin))
	return service.ConnectNATS(settings, "signrelay-doctor", slog.New(slog.DiscardHandler))
}

func version(conn *nats.Conn) Finding {
	is := conn.ConnectedServerVersion()
	if atLeast(is, oldestNATS) {
		return fine("nats version", "%s", is)
	}
	return Finding{"nats version", Fail, is, "update the server to " + oldestNATS + " or newer"}
}

func payload(conn *nats.Conn) Finding {
	is := conn.MaxPayload()
	if is >= flow.SmallestPayload {
		return fine("nats max_payload", "%d bytes", is)
	}
	return Finding{"nats max_payload", Fail, fmt.Sprintf("%d bytes: a large callback would be refused at every retry", is), "set max_payload: 8MB in the server's configuration"}
}

// streams compares streams, buckets and consumers with the map, and looks at copies, room and clock, which the log's own
// description tells.
func (e *examination) streams(ctx context.Context, conn *nats.Conn, js jetstream.JetStream) []Finding {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	whose := e.whose()
	differences, err := flow.Drift(ctx, js, e.cfg.NATS.Replicas, whose...)
	if err != nil {
		return []Finding{{"streams", Fail, told(service.ExplainJetStream(conn, err)), "is JetStream on, and may the credentials use $JS.API? see \"permissions\""}}
	}
	all := []Finding{}
	for _, d := range differences {
		mend := "run `signrelay provision`; where it says that this cannot be changed, the stream must be made anew"
		switch {
		case d.Setting == "paused":
			mend = "resume it: nats consumer resume"
		case d.Setting == "" && strings.HasPrefix(d.Of, "consumer "):
			mend = "run `signrelay provision`: it makes the consumer again where its stage stopped, and asks where to begin when that is not known"
		}
		all = append(all, Finding{"streams", Fail, d.String(), mend})
	}
	switch {
	case len(all) > 0:
	case len(whose) > 0:
		all = append(all, fine("streams", "the streams, buckets and consumers of %s are as the map says", strings.Join(whose, ", ")))
	default:
		all = append(all, fine("streams", "%d streams, %d buckets and %d consumers are as the map says", len(flow.Streams), len(flow.Buckets), 2*len(flow.Stages)))
	}
	asked := time.Now()
	log, err := js.Stream(ctx, flow.Signing)
	if err != nil {
		return all // missing, and said so
	}
	info := log.CachedInfo()
	return append(all, e.replicas(info), e.room(ctx, js), clock("nats clock", info.TimeStamp, asked, time.Now()))
}

func (e *examination) replicas(info *jetstream.StreamInfo) Finding {
	const check = "replicas"
	copies := info.Config.Replicas
	if info.Cluster == nil || info.Cluster.Name == "" {
		return fine(check, "one server; what it cannot read from its disk any more is lost: back it up")
	}
	if copies < 3 {
		return Finding{check, Fail, fmt.Sprintf("a cluster, but the log has %d of the 3 copies with which a server can be lost", copies), "set nats.replicas: 3, and run `signrelay provision`"}
	}
	behind := 0
	for _, peer := range info.Cluster.Replicas {
		if peer.Offline || !peer.Current {
			behind++
		}
	}
	if behind > 0 {
		return Finding{check, Warn, fmt.Sprintf("%d copies of the log, of which %d are behind or offline", copies, behind), "start the servers that are missing, and wait until they have caught up"}
	}
	return fine(check, "%d copies of the log, all up to date", copies)
}

// fullAt is where an operator should begin to do something about it. From nearlyFull on, a day's callbacks may fill the rest.
const (
	fullAt     = 0.8
	nearlyFull = 0.95
)

// room judges the smaller of two limits: the account's, which the credentials can see, and the server's, which only its monitoring tells.
func (e *examination) room(ctx context.Context, js jetstream.JetStream) Finding {
	const check = "room"
	account, err := js.AccountInfo(ctx)
	if err != nil {
		return Finding{check, Warn, "the account's use of the disk cannot be seen: " + told(err), "look at it yourself: nats account info"}
	}
	used, limit, whose := int64(account.Store), account.Limits.MaxStore, "the account's limit"
	if e.MonitorURL != "" {
		server, err := monitored(ctx, e.MonitorURL)
		if err == nil && server.Config.MaxStore > 0 && (limit <= 0 || server.Config.MaxStore-server.Store < limit-used) {
			used, limit, whose = server.Store, server.Config.MaxStore, "the server's max_file_store"
		}
	}
	said := fmt.Sprintf("%d of %d MB, %s", used>>20, limit>>20, whose)
	mend := "raise the limit, if the disk has that much; else give it a larger disk, or less to keep. See docs/operate.md, \"When the log is full\""
	switch {
	case limit <= 0 && e.Embedded:
		return fine(check, "%d MB on disk; the disk is the limit", used>>20)
	case limit <= 0:
		return Finding{check, Warn, fmt.Sprintf("%d MB on disk; the server's limit cannot be seen with these credentials", used>>20), "--nats-monitor http://<server>:8222 looks"}
	case float64(used) > nearlyFull*float64(limit):
		return Finding{check, Fail, said + ": when it is full, callbacks are answered 503 and no message is sent", mend}
	case float64(used) > fullAt*float64(limit):
		return Finding{check, Warn, said + ": when it is full, callbacks are answered 503 and no message is sent", mend}
	default:
		return fine(check, "%s", said)
	}
}

// How far two clocks may be apart. A minute is what dedupe allows for in its spans of the log; more, and a lost memory is
// looked up in the wrong part of it.
const (
	clockWarn = 5 * time.Second
	clockFail = time.Minute
)

// clock judges another clock by an answer that was asked for and came at times of our own.
func clock(check string, theirs, asked, came time.Time) Finding {
	if theirs.IsZero() {
		return Finding{check, Warn, "cannot be seen", "see that NTP runs on both machines"}
	}
	apart := theirs.Sub(asked.Add(came.Sub(asked) / 2)).Abs()
	said := fmt.Sprintf("%v apart from this machine's", apart.Round(time.Millisecond))
	switch {
	case apart > clockFail:
		return Finding{check, Fail, said, "let NTP set both clocks"}
	case apart > clockWarn:
		return Finding{check, Warn, said, "let NTP set both clocks"}
	default:
		return fine(check, "%s", said)
	}
}

// atLeast compares versions by their first two numbers.
func atLeast(is, oldest string) bool {
	return parseVersion(is) >= parseVersion(oldest)
}

func parseVersion(text string) int {
	major, rest, _ := strings.Cut(text, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errMajor := strconv.Atoi(major)
	b, errMinor := strconv.Atoi(minor)
	if errors.Join(errMajor, errMinor) != nil {
		return -1
	}
	return a*1000 + b
}
