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
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

// broker is a Kafka of one broker on loopback, with nothing in it at first. It can be stopped, and started again at the
// same address with what it had stored.
type broker struct {
	addr string
	run  func() error
	stop func()
	kill func() // at once, as a crash does

	t testing.TB
}

// newBroker starts a broker of the version in pom.xml, in KRaft mode. Where there is no Java or Maven, a Kafka protocol
// server in this process stands in for it, and the test says so; in CI that is a failure.
func newBroker(t testing.TB) *broker {
	t.Helper()
	realtest.Server(t, "a Kafka broker")
	if missing := noBroker(); missing != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI tests against a real Kafka broker: %v", missing)
		}
		t.Logf("no real Kafka broker: a protocol server in this process stands in for it. Install Java 17 and Maven for the real one: %v", missing)
		return newStandIn(t)
	}
	return newRealBroker(t, fetched(t), special{})
}

// noBroker is what a real one lacks here; nil where there can be one.
func noBroker() error {
	_, noJava := exec.LookPath("java")
	_, noMaven := exec.LookPath("mvn")
	return errors.Join(noJava, noMaven)
}

// fetched is the folder of the broker's program.
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

// newStandIn is a protocol server that keeps what it has on disk, too.
func newStandIn(t testing.TB) *broker {
	t.Helper()
	b := &broker{t: t, addr: testenv.FreeAddress(t)}
	_, port, _ := net.SplitHostPort(b.addr)
	number, _ := strconv.Atoi(port)
	dir := t.TempDir()
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
	b.kill = b.stop
	t.Cleanup(b.stop)
	b.start()
	return b
}

// special is what a broker has besides.
type special struct {
	listeners string   // more of them, each after a comma
	settings  string   // lines of server.properties
	format    []string // arguments of the storage's formatting
}

func newRealBroker(t testing.TB, folder string, with special) *broker {
	t.Helper()
	var err error
	// Another process may take a free port before the broker does, so try a few.
	for range 3 {
		b := realBroker(t, folder, t.TempDir(), with)
		t.Cleanup(b.stop)
		if err = b.run(); err == nil {
			return b
		}
		b.stop()
	}
	t.Fatal(err)
	return nil
}

// realBroker is a broker whose data is in dir.
func realBroker(t testing.TB, folder, dir string, with special) *broker {
	t.Helper()
	b := &broker{t: t, addr: testenv.FreeAddress(t)}
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

	java := func(args ...string) *exec.Cmd {
		few := []string{"-XX:SharedArchiveFile=" + filepath.Join(folder, "classes.jsa"), "-Xlog:disable", "-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"}
		return exec.CommandContext(context.Background(), "java", append(append(few, "-cp", folder+"/*"), args...)...)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	format := java(append([]string{"kafka.tools.StorageTool", "format", "--cluster-id=" + base64.RawURLEncoding.EncodeToString(id), "--config", settings}, with.format...)...)
	if said, err := format.CombinedOutput(); err != nil {
		t.Fatalf("format the broker's storage: %v\n%s", err, said)
	}

	var process *exec.Cmd
	var ended chan struct{}
	b.stop = func() {
		if process == nil {
			return
		}
		_ = process.Process.Signal(syscall.SIGTERM) // fails only when it has ended
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			_ = process.Process.Kill()
			<-ended
		}
		process = nil
	}
	b.kill = func() {
		_ = process.Process.Kill()
		<-ended
		process = nil
	}
	b.run = func() error {
		var said bytes.Buffer
		process, ended = java("kafka.Kafka", settings), make(chan struct{})
		process.Stdout, process.Stderr = &said, &said
		process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a killed test leaves no broker behind
		if err := process.Start(); err != nil {
			return fmt.Errorf("start the Kafka broker: %w", err)
		}
		go func(started *exec.Cmd, ended chan struct{}) {
			_ = started.Wait() // how it ended does not matter: it was told to, or it does not answer
			close(ended)
		}(process, ended)
		if err := b.answers(ended); err != nil {
			b.stop()
			return fmt.Errorf("%w\n%s", err, said.String())
		}
		return nil
	}
	return b
}

// answers waits until the broker does.
func (b *broker) answers(ended <-chan struct{}) error {
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
			return fmt.Errorf("the Kafka broker does not answer within a minute: %w", err)
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

// makeTopic makes a topic as an operator does.
func (b *broker) makeTopic(name string, entries map[string]*string) {
	b.t.Helper()
	admin, err := sarama.NewClusterAdmin([]string{b.addr}, settings())
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	err = admin.CreateTopic(name, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1, ConfigEntries: entries}, false)
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
