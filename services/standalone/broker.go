package standalone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/signrelay/signrelay/libs/config"
)

// largestMessage is what the broker takes in one message: a callback of 1 MiB, its attributes' names, and headers.
const largestMessage = 8 << 20

// broker is the embedded NATS server.
type broker struct{ *server.Server }

func (b broker) stop() {
	b.Shutdown()
	b.WaitForShutdown()
}

// hold takes the data directory, which makeFolder has judged, for this process alone. The server takes no lock of its own, and two that
// write the same streams lose what both had acknowledged.
func hold(dataDir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dataDir, lockFile))
	held, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("lock the data directory: %w", err)
	case !held:
		return nil, fmt.Errorf("the data directory %s is in use by another signrelay: stop it, or set SIGNRELAY_DATA_DIR", dataDir)
	default:
		return lock, nil
	}
}

// checkBroker says what the embedded server cannot do with the settings of NATS.
func checkBroker(n config.NATS) error {
	if n.URL != "" {
		return nil
	}
	var errs []error
	mistake := func(key, text string) { errs = append(errs, errors.New(key+": "+text)) }
	switch {
	case n.Creds != "":
		mistake("nats.creds", "the embedded NATS server knows users and passwords alone: set nats.user and nats.password, or nats.url for a server of your own")
	case n.User != "" && n.Password == "":
		mistake("nats.password", "nats.user is set: set the password too, or neither")
	case n.User == "" && !onLoopback(n.Addr):
		mistake("nats.addr", "other machines can reach it: set nats.user and nats.password, or an address of this machine alone, such as 127.0.0.1:4222")
	}
	if n.Replicas > 1 {
		mistake("nats.replicas", "the embedded NATS server is one node: set it to 1, or set nats.url for a cluster of your own")
	}
	if n.TLS.Set() {
		mistake("nats.tls", "the embedded NATS server has no TLS: remove it, or set nats.url for a server of your own")
	}
	return errors.Join(errs...)
}

// onLoopback reports whether a listener at this address is for this machine alone.
func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip, errIP := netip.ParseAddr(host)
	return err != nil || host == "localhost" || errIP == nil && ip.Unmap().IsLoopback() // what is no address is refused elsewhere
}

// startBroker starts the embedded NATS server with its streams under the data directory, for one user. sync_interval is "always": a
// message is on disk before it is acknowledged, so a provider's 2xx survives a power cut. Nothing else of the server listens: it has
// no monitoring, WebSocket, leaf node, gateway, MQTT, cluster or profiling port.
func startBroker(ctx context.Context, cfg config.Config, log *slog.Logger) (b broker, err error) {
	host, port, err := net.SplitHostPort(cfg.NATS.Addr)
	if err != nil {
		return b, fmt.Errorf("nats.addr: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return b, fmt.Errorf("nats.addr: port %q is not a number", port)
	}
	if number == 0 {
		number = server.RANDOM_PORT
	}
	// The server itself would say so to its log alone, and be waited for.
	probe, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.NATS.Addr)
	if err != nil {
		return b, fmt.Errorf("nats.addr: %w; set SIGNRELAY_NATS_ADDR to a free address", err)
	}
	if err := probe.Close(); err != nil {
		return b, fmt.Errorf("nats.addr: %w", err)
	}
	s, err := server.NewServer(&server.Options{
		ServerName:         "signrelay",
		Host:               host,
		Port:               number,
		Username:           cfg.NATS.User,
		Password:           cfg.NATS.Password,
		JetStream:          true,
		StoreDir:           filepath.Join(cfg.DataDir, "nats"),
		JetStreamMaxMemory: 64 << 20,
		JetStreamMaxStore:  1 << 40, // the disk is the limit; without a figure the server reserves what is free at its start
		SyncAlways:         true,
		MaxPayload:         largestMessage,
		NoSigs:             true,
	})
	if err != nil {
		return b, fmt.Errorf("embedded NATS: %w", err)
	}
	s.SetLogger(brokerLog{log}, false, false)
	s.Start()
	if !s.ReadyForConnections(readyWithin) {
		s.Shutdown()
		s.WaitForShutdown()
		return b, errors.New("embedded NATS was not ready within " + readyWithin.String() + "; the log says why")
	}
	return broker{s}, nil
}

// readyWithin bounds the start; recovering a full log of a million messages takes a second or two.
const readyWithin = 30 * time.Second

// brokerLog passes on what the embedded server says, from warnings up.
type brokerLog struct{ log *slog.Logger }

func (l brokerLog) Noticef(string, ...any) {}
func (l brokerLog) Debugf(string, ...any)  {}
func (l brokerLog) Tracef(string, ...any)  {}
func (l brokerLog) Warnf(format string, v ...any) {
	l.log.Warn("nats", "text", fmt.Sprintf(format, v...))
}

func (l brokerLog) Errorf(format string, v ...any) {
	l.log.Error("nats", "text", fmt.Sprintf(format, v...))
}

func (l brokerLog) Fatalf(format string, v ...any) {
	l.log.Error("nats: fatal", "text", fmt.Sprintf(format, v...))
}
