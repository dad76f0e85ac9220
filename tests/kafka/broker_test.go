package kafka_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

// broker is a Kafka cluster of one broker on loopback, without data at first. A test can stop it and start it again, at the same address and with its data.
type broker struct {
	addr  string
	topic string // the test's own
	run   func() error
	stop  func()
	kill  func() // at once, as a crash does
	pid   func() int

	t testing.TB
}

// newBroker starts a broker for a test that stops it. The other tests use sharedBroker.
func newBroker(t testing.TB) *broker {
	t.Helper()
	b := anyBroker(t, t.TempDir)
	t.Cleanup(b.stop)
	return b
}

// shared is the broker of all tests that need only their own topics: a broker takes 5 s of CPU to start, and 14 tests would start one.
var shared struct {
	once    sync.Once
	broker  *broker
	secured *secured // the same broker with its other listeners; nil if a protocol server replaces the real broker
	topics  atomic.Int64
	folder  string
}

// sharedBroker returns the shared broker with a new topic. It cannot be stopped.
func sharedBroker(t testing.TB) *broker {
	t.Helper()
	realtest.Server(t, "a Kafka broker")
	shared.once.Do(func() {
		var err error
		if shared.folder, err = os.MkdirTemp("", "signrelay-kafka-"); err != nil { //nolint:usetesting // it outlives the test
			t.Fatal(err)
		}
		tries := 0
		folder := func() string {
			tries++
			return filepath.Join(shared.folder, strconv.Itoa(tries))
		}
		if noBroker() != nil {
			shared.broker = anyBroker(t, folder)
			return
		}
		shared.secured = newSecured(t, folder)
		shared.broker = shared.secured.broker
	})
	if shared.broker == nil {
		t.Fatal("the shared broker did not start")
	}
	return &broker{addr: shared.broker.addr, topic: fmt.Sprintf("%s.%d", topic, shared.topics.Add(1)), t: t}
}

// stopShared stops the shared broker at the end of the tests.
func stopShared() {
	if shared.broker != nil {
		shared.broker.stop()
	}
	for _, folder := range []string{shared.folder, formatted.folder} {
		if folder != "" {
			_ = os.RemoveAll(folder)
		}
	}
}

// anyBroker starts a broker of the version in pom.xml, in KRaft mode. Without Java or Maven, a Kafka protocol server in this process
// replaces it, and the test logs that; in CI the test fails.
func anyBroker(t testing.TB, folder func() string) *broker {
	t.Helper()
	realtest.Server(t, "a Kafka broker")
	if missing := noBroker(); missing != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI tests against a real Kafka broker: %v", missing)
		}
		t.Logf("no real Kafka broker: a protocol server in this process replaces it. Install Java 17 and Maven for the real one: %v", missing)
		return newStandIn(t, folder())
	}
	return newRealBroker(t, fetched(t), folder, special{})
}

// noBroker returns an error if a program for a real broker is missing.
func noBroker() error {
	_, noJava := exec.LookPath("java")
	_, noMaven := exec.LookPath("mvn")
	return errors.Join(noJava, noMaven)
}

// fetched returns the folder of the broker's program.
func fetched(t testing.TB) string {
	t.Helper()
	fetch := exec.CommandContext(t.Context(), "sh", filepath.Join(testenv.Root(), "tests", "kafka", "fetch.sh"))
	fetch.Stderr = t.Output()
	folder, err := fetch.Output()
	if err != nil {
		t.Fatalf("fetch the Kafka broker: %v", err)
	}
	return strings.TrimSpace(string(folder))
}

// newStandIn starts a protocol server that also keeps its data on disk.
func newStandIn(t testing.TB, dir string) *broker {
	t.Helper()
	b := &broker{t: t, addr: testenv.FreeAddress(t), topic: topic}
	_, port, _ := net.SplitHostPort(b.addr)
	number, _ := strconv.Atoi(port)
	var cluster *kfake.Cluster
	b.run = func() (err error) {
		cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(number), kfake.DataDir(dir))
		return err
	}
	b.stop = func() {
		if cluster != nil {
			cluster.Close()
			cluster = nil
		}
	}
	b.kill, b.pid = b.stop, os.Getpid
	b.start()
	return b
}

// special is the additional configuration of a broker.
type special struct {
	listeners string // additional ones, each after a comma
	settings  string // lines of server.properties
}

// formatted is an empty storage, which each broker copies: Kafka's own tool takes 1 s of CPU to format one.
var formatted struct {
	once   sync.Once
	folder string
	err    error
}

// formattedStorage returns the folder of an empty storage of a cluster with the user "signrelay".
func formattedStorage(program string) (string, error) {
	formatted.once.Do(func() {
		if formatted.folder, formatted.err = os.MkdirTemp("", "signrelay-kafka-storage-"); formatted.err != nil {
			return
		}
		settings, data := filepath.Join(formatted.folder, "server.properties"), filepath.Join(formatted.folder, "data")
		formatted.err = os.WriteFile(settings, fmt.Appendf(nil, `
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
controller.listener.names=CONTROLLER
log.dirs=%s
`, data), 0o600)
		if formatted.err != nil {
			return
		}
		id := make([]byte, 16)
		_, _ = rand.Read(id)
		format := java(program, "kafka.tools.StorageTool", "format", "--cluster-id="+base64.RawURLEncoding.EncodeToString(id), "--config", settings,
			"--add-scram", "SCRAM-SHA-512=[name=signrelay,password="+password+"]")
		if output, err := format.CombinedOutput(); err != nil {
			formatted.err = fmt.Errorf("format the broker's storage: %w\n%s", err, output)
		}
	})
	return filepath.Join(formatted.folder, "data"), formatted.err
}

// java returns a command that runs a class of the broker's program.
func java(program string, args ...string) *exec.Cmd {
	few := []string{"-XX:SharedArchiveFile=" + filepath.Join(program, "classes.jsa"), "-Xlog:disable", "-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"}
	return exec.CommandContext(context.Background(), "java", append(append(few, "-cp", program+"/*"), args...)...)
}

func newRealBroker(t testing.TB, program string, folder func() string, with special) *broker {
	t.Helper()
	var err error
	// Another process may take a free port before the broker does, so try several times.
	for range 3 {
		b := realBroker(t, program, folder(), with)
		if err = b.run(); err == nil {
			return b
		}
		b.stop()
	}
	t.Fatal(err)
	return nil
}

// realBroker describes a broker with its data in dir; run starts it.
func realBroker(t testing.TB, folder, dir string, with special) *broker {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b := &broker{t: t, addr: testenv.FreeAddress(t), topic: topic}
	settings := filepath.Join(dir, "server.properties")
	controller := testenv.FreeAddress(t)
	err := os.WriteFile(settings, fmt.Appendf(nil, `
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s%[4]s
controller.listener.names=CONTROLLER
log.dirs=%[3]s
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=2
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
%[5]s
`, b.addr, controller, filepath.Join(dir, "data"), with.listeners, with.settings), 0o600)
	if err != nil {
		t.Fatal(err)
	}

	storage, err := formattedStorage(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(storage)); err != nil {
		t.Fatal(err)
	}

	var process *exec.Cmd
	var ended chan struct{}
	b.stop = func() {
		if process == nil {
			return
		}
		_ = process.Process.Signal(syscall.SIGTERM) // fails only if it has ended
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			_ = process.Process.Kill()
			<-ended
		}
		process = nil
	}
	b.pid = func() int { return process.Process.Pid }
	b.kill = func() {
		_ = process.Process.Kill()
		<-ended
		process = nil
	}
	b.run = func() error {
		var output bytes.Buffer
		process, ended = java(folder, "kafka.Kafka", settings), make(chan struct{})
		process.Stdout, process.Stderr = &output, &output
		process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // if the test is killed, the broker ends too
		if err := process.Start(); err != nil {
			return fmt.Errorf("start the Kafka broker: %w", err)
		}
		go func(started *exec.Cmd, ended chan struct{}) {
			_ = started.Wait() // the exit status does not matter: the test stopped the broker, or it does not respond
			close(ended)
		}(process, ended)
		if err := b.awaitReady(ended); err != nil {
			b.stop()
			return fmt.Errorf("%w\n%s", err, output.String())
		}
		return nil
	}
	return b
}

// awaitReady waits until the broker responds.
func (b *broker) awaitReady(ended <-chan struct{}) error {
	late := time.After(time.Minute)
	for {
		client, err := sarama.NewClient([]string{b.addr}, settings())
		if err == nil {
			return client.Close()
		}
		select {
		case <-ended:
			return errors.New("the Kafka broker ended at once")
		case <-late:
			return fmt.Errorf("the Kafka broker did not respond within a minute: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// start starts a stopped broker.
func (b *broker) start() {
	b.t.Helper()
	if err := b.run(); err != nil {
		b.t.Fatal(err)
	}
}

// makeTopic creates the topic as an operator does.
func (b *broker) makeTopic(entries map[string]*string) {
	b.t.Helper()
	admin, err := sarama.NewClusterAdmin([]string{b.addr}, settings())
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	err = admin.CreateTopic(b.topic, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1, ConfigEntries: entries}, false)
	if err != nil {
		b.t.Fatal(err)
	}
}

// settings of a client of Kafka 4.
func settings() *sarama.Config {
	s := sarama.NewConfig()
	s.Version = sarama.V4_0_0_0
	s.Consumer.Offsets.Initial = sarama.OffsetOldest
	s.Metadata.Retry.Max, s.Metadata.Retry.Backoff = 0, 100*time.Millisecond
	s.Net.DialTimeout = 2 * time.Second
	return s
}
