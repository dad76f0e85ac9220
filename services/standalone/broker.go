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

// largestMessage is the maximum size of a message in the broker: a callback of 1 MiB, the names of its attributes, and headers.
const largestMessage = 8 << 20

// broker is the embedded NATS server.
type broker struct{ *server.Server }

func (b broker) stop() {
	b.Shutdown()
	b.WaitForShutdown()
}

// lockDataDir locks the data directory, which makeFolder has checked, for this process. The NATS server has no lock of its own, and two
// servers that write the same streams lose acknowledged messages.
func lockDataDir(dataDir string) (*flock.Flock, error) {
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

// checkBroker returns the mistakes in the NATS settings for an embedded server.
func checkBroker(n config.NATS) error {
	if n.URL != "" {
		return nil
	}
	var errs []error
	mistake := func(key, text string) { errs = append(errs, errors.New(key+": "+text)) }
	switch {
	case n.Creds != "":
		mistake("nats.creds", "the embedded NATS server accepts only a user and a password: set nats.user and nats.password, or nats.url for your own server")
	case n.User != "" && n.Password == "":
		mistake("nats.password", "nats.user is set without a password: set both or neither")
	case n.User == "" && !onLoopback(n.Addr):
		mistake("nats.addr", "other machines can reach this address: set nats.user and nats.password, or a loopback address such as 127.0.0.1:4222")
	}
	if n.Replicas > 1 {
		mistake("nats.replicas", "the embedded NATS server is one node: set it to 1, or set nats.url for a cluster of your own")
	}
	if n.TLS.Set() {
		mistake("nats.tls", "the embedded NATS server has no TLS: remove it, or set nats.url for a server of your own")
	}
	return errors.Join(errs...)
}

// onLoopback reports whether only this machine can reach a listener at this address.
func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip, errIP := netip.ParseAddr(host)
	return err != nil || host == "localhost" || errIP == nil && ip.Unmap().IsLoopback() // another check refuses a text that is not an address
}

// startBroker starts the embedded NATS server with one user. Its streams are below the data directory. sync_interval is "always": a message is
// on disk before it is acknowledged, so an accepted callback survives a power cut. The server has only its client port: no monitoring,
// WebSocket, leaf node, gateway, MQTT, cluster or profiling port.
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
	// The server would report an occupied address only in its log, and the start would wait.
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
		JetStreamMaxStore:  1 << 40, // the disk is the limit; without a number, the server uses the free space at its start as the limit
		SyncAlways:         true,
		MaxPayload:         largestMessage,
		NoSigs:             true,
	})
	if err != nil {
		return b, fmt.Errorf("embedded NATS server: %w", err)
	}
	s.SetLogger(brokerLog{log}, false, false)
	s.Start()
	if !s.ReadyForConnections(readyTimeout) {
		s.Shutdown()
		s.WaitForShutdown()
		return b, errors.New("the embedded NATS server was not ready within " + readyTimeout.String() + "; see its log")
	}
	return broker{s}, nil
}

// readyTimeout bounds the start. The recovery of a log of a million messages takes one or two seconds.
const readyTimeout = 30 * time.Second

// brokerLog forwards the embedded server's log, from warnings up.
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
