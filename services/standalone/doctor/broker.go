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

// oldestNATS is the first version of the NATS server with scheduled messages.
const oldestNATS = "2.14"

// nats runs all checks of NATS, over one connection.
func (e *examination) nats(ctx context.Context) []Finding {
	conn, err := e.connectNATS()
	if err != nil {
		return []Finding{{"nats", Fail, masked(err), "check that the server runs, that nats.url is its address, and that it accepts nats.user and nats.password, or nats.creds"}}
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return []Finding{{"nats", Fail, masked(err), "start the server with JetStream"}}
	}
	all := []Finding{passed("nats", "reached"), version(conn), payload(conn)}
	found, mayRead := e.permissions(ctx, conn)
	all = append(all, found...)
	if mayRead {
		all = append(all, e.streams(ctx, conn, js)...)
	} else { // the server does not respond to a request that is not allowed
		all = append(all, Finding{"streams", Fail, "not compared: the credentials may not read the state of all of them", "see \"permissions\""})
	}
	return append(all, e.fsync(ctx))
}

// connectTimeout bounds a connection to the broker or another server. It is short because a person waits.
const connectTimeout = 5 * time.Second

// connectNATS connects as the services do, but does not retry.
func (e *examination) connectNATS() (*nats.Conn, error) {
	settings := e.cfg.NATS
	settings.Options = append(slices.Clone(settings.Options), nats.RetryOnFailedConnect(false), nats.Timeout(connectTimeout))
	return service.ConnectNATS(settings, "signrelay-doctor", slog.New(slog.DiscardHandler))
}

func version(conn *nats.Conn) Finding {
	is := conn.ConnectedServerVersion()
	if atLeast(is, oldestNATS) {
		return passed("nats version", "%s", is)
	}
	return Finding{"nats version", Fail, is, "update the server to " + oldestNATS + " or newer"}
}

func payload(conn *nats.Conn) Finding {
	is := conn.MaxPayload()
	if is >= flow.SmallestPayload {
		return passed("nats max_payload", "%d bytes", is)
	}
	return Finding{"nats max_payload", Fail, fmt.Sprintf("%d bytes: a large callback would fail at every retry", is), "set max_payload: 8MB in the server's configuration"}
}

// streams compares streams, buckets and consumers with the map of the flow. It also checks the log's replicas, the free space and the clock.
func (e *examination) streams(ctx context.Context, conn *nats.Conn, js jetstream.JetStream) []Finding {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	services := e.services()
	differences, err := flow.Drift(ctx, js, e.cfg.NATS.Replicas, services...)
	if err != nil {
		return []Finding{{"streams", Fail, masked(service.ExplainJetStream(conn, err)), "check that JetStream is on, and that the credentials may use $JS.API: see \"permissions\""}}
	}
	all := []Finding{}
	for _, d := range differences {
		fix := "run `signrelay provision`; if it reports that this setting cannot be changed, create the stream again"
		switch {
		case d.Setting == "paused":
			fix = "resume it: nats consumer resume"
		case d.Setting == "" && strings.HasPrefix(d.Of, "consumer "):
			fix = "run `signrelay provision`: it creates the consumer at the position where the stage stopped, and asks if that is not known"
		}
		all = append(all, Finding{"streams", Fail, d.String(), fix})
	}
	switch {
	case len(all) > 0:
	case len(services) > 0:
		all = append(all, passed("streams", "the streams, buckets and consumers of %s match the map of the flow", strings.Join(services, ", ")))
	default:
		all = append(all, passed("streams", "%d streams, %d buckets and %d consumers match the map of the flow", len(flow.Streams), len(flow.Buckets), 2*len(flow.Stages)))
	}
	asked := time.Now()
	log, err := js.Stream(ctx, flow.Signing)
	if err != nil {
		return all // a finding above reports it as missing
	}
	info := log.CachedInfo()
	return append(all, e.replicas(info), e.room(ctx, js), clock("nats clock", info.TimeStamp, asked, time.Now()))
}

func (e *examination) replicas(info *jetstream.StreamInfo) Finding {
	const check = "replicas"
	copies := info.Config.Replicas
	if info.Cluster == nil || info.Cluster.Name == "" {
		return passed(check, "one server: if its disk fails, the data is lost; make backups")
	}
	if copies < 3 {
		return Finding{check, Fail, fmt.Sprintf("a cluster, but the log has %d of the 3 replicas that survive the loss of a server", copies), "set nats.replicas: 3, and run `signrelay provision`"}
	}
	behind := 0
	for _, peer := range info.Cluster.Replicas {
		if peer.Offline || !peer.Current {
			behind++
		}
	}
	if behind > 0 {
		return Finding{check, Warn, fmt.Sprintf("%d replicas of the log, of which %d are behind or offline", copies, behind), "start the missing servers, and wait until they have caught up"}
	}
	return passed(check, "%d replicas of the log, all up to date", copies)
}

// From fullAt on, an operator should act. From nearlyFull on, the callbacks of one day may fill the rest.
const (
	fullAt     = 0.8
	nearlyFull = 0.95
)

// room judges the smaller of two limits: the account's, which the credentials can read, and the server's, which only its monitoring reports.
func (e *examination) room(ctx context.Context, js jetstream.JetStream) Finding {
	const check = "room"
	account, err := js.AccountInfo(ctx)
	if err != nil {
		return Finding{check, Warn, "the account's disk usage cannot be read: " + masked(err), "run `nats account info`"}
	}
	used, limit, owner := int64(account.Store), account.Limits.MaxStore, "the account's limit"
	if e.MonitorURL != "" {
		server, err := monitoring(ctx, e.MonitorURL)
		if err == nil && server.Config.MaxStore > 0 && (limit <= 0 || server.Config.MaxStore-server.Store < limit-used) {
			used, limit, owner = server.Store, server.Config.MaxStore, "the server's max_file_store"
		}
	}
	usage := fmt.Sprintf("%d of %d MB, %s", used>>20, limit>>20, owner)
	fix := "raise the limit if the disk is large enough; otherwise use a larger disk, or keep events for a shorter time. See docs/operate.md, \"When the log is full\""
	switch {
	case limit <= 0 && e.Embedded:
		return passed(check, "%d MB on disk; the disk is the limit", used>>20)
	case limit <= 0:
		return Finding{check, Warn, fmt.Sprintf("%d MB on disk; these credentials cannot read the server's limit", used>>20), "pass --nats-monitor http://<server>:8222"}
	case float64(used) > nearlyFull*float64(limit):
		return Finding{check, Fail, usage + ": when it is full, callbacks get 503 and no messages are sent", fix}
	case float64(used) > fullAt*float64(limit):
		return Finding{check, Warn, usage + ": when it is full, callbacks get 503 and no messages are sent", fix}
	default:
		return passed(check, "%s", usage)
	}
}

// The allowed difference of two clocks. The dedupe store's spans of the log allow for a minute. With a larger difference, lost ids would be
// looked up in the wrong part of the log.
const (
	clockWarn = 5 * time.Second
	clockFail = time.Minute
)

// clock compares another machine's clock with ours. It gets the times of the request and of the response.
func clock(check string, theirs, asked, came time.Time) Finding {
	if theirs.IsZero() {
		return Finding{check, Warn, "cannot be read", "check that NTP runs on both machines"}
	}
	apart := theirs.Sub(asked.Add(came.Sub(asked) / 2)).Abs()
	difference := fmt.Sprintf("%v apart from this machine's", apart.Round(time.Millisecond))
	switch {
	case apart > clockFail:
		return Finding{check, Fail, difference, "synchronize both clocks with NTP"}
	case apart > clockWarn:
		return Finding{check, Warn, difference, "synchronize both clocks with NTP"}
	default:
		return passed(check, "%s", difference)
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
