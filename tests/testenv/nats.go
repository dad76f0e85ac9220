package testenv

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// node is one NATS server, with the settings that deployments use.
type node struct {
	name    string
	addr    string
	monitor string
	dir     string
	sync    string // sync_interval
	room    string // max_file_store; empty for the size of the disk
	key     string // with which the server encrypts its files; empty for none
	cluster string // its address for other servers; empty for a single server
	routes  []string
	// With this file of a deployment, and with these variables:
	deployed string
	env      []string
}

// startNATS runs the real server as a process, with the different settings in special.
func (e *Env) startNATS(t testing.TB, special node) {
	t.Helper()
	e.node = special
	e.node.name, e.node.addr, e.node.monitor = "nats", strings.TrimPrefix(e.NATSURL, "nats://"), FreeAddress(t)
	e.node.dir, e.node.sync = filepath.Join(e.DataDir, "nats"), "always"
	if e.lazySync {
		e.node.sync = "2m"
	}
	e.startNode(t, e.node)
}

// RestartNATS restarts the server on the same streams with this size of its store ("120KB"); empty for the size of the disk.
func (e *Env) RestartNATS(t testing.TB, room string) {
	t.Helper()
	e.Processes["nats"].Stop()
	e.node.room = room
	e.node.write(t)
	e.Processes["nats"].Start()
}

// SyncNATS restarts a server that was started by LazySync or Encrypted, so that it syncs each message to the disk, as deployments do.
func (e *Env) SyncNATS(t testing.TB) {
	t.Helper()
	e.Processes["nats"].Stop()
	e.node.sync = "always"
	e.node.write(t)
	e.Processes["nats"].Start()
}

// EncryptNATS restarts the server, so that it encrypts its files from now on.
func (e *Env) EncryptNATS(t testing.TB) {
	t.Helper()
	e.Processes["nats"].Stop()
	e.node.key = MasterKey
	e.node.write(t)
	e.Processes["nats"].Start()
}

// WithStore starts a NATS server on the store of a stopped standalone for the duration of a call. The server syncs to the disk every two
// minutes, to fill a long log in a short time.
func (e *Env) WithStore(t testing.TB, use func(jetstream.JetStream)) {
	t.Helper()
	e.lazySync = true
	e.startNATS(t, node{})
	nc, err := nats.Connect(e.NATSURL)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	use(js)
	nc.Close()
	e.Processes["nats"].Stop()
	delete(e.Processes, "nats")
}

// NATSMonitor returns the monitoring address of a single server.
func (e *Env) NATSMonitor() string { return "http://" + e.node.monitor }

// Cluster starts Infrastructure with a cluster of three NATS servers. Its streams have three replicas.
func Cluster(t testing.TB, settings func(*Env) string) *Env {
	t.Helper()
	return cluster(t, newEnv(t), settings, node{})
}

func cluster(t testing.TB, e *Env, settings func(*Env) string, special node) *Env {
	t.Helper()
	nodes := make([]node, 3)
	var urls, routes []string
	for i := range nodes {
		nodes[i] = node{
			name: fmt.Sprintf("nats-%d", i+1), addr: FreeAddress(t), monitor: FreeAddress(t), cluster: FreeAddress(t),
			dir: filepath.Join(e.DataDir, fmt.Sprintf("nats-%d", i+1)), sync: "always", deployed: special.deployed, env: special.env,
		}
		urls = append(urls, "nats://"+nodes[i].addr)
		routes = append(routes, "nats://"+nodes[i].cluster)
	}
	e.NATSURL = strings.Join(urls, ",")
	e.env = append(e.env, "SIGNRELAY_NATS_REPLICAS=3")
	for _, n := range nodes {
		n.routes = routes
		e.startNode(t, n)
	}
	e.Until(t, "the cluster has a leader", func() bool { return e.Healthy("nats-1") && e.Healthy("nats-2") && e.Healthy("nats-3") })
	e.provision(t, settings(e))
	return e
}

// Healthy reports whether all streams and consumers of a NATS server are up to date.
func (e *Env) Healthy(node string) bool { return responds(e.Processes[node].healthy) }

func (e *Env) startNode(t testing.TB, n node) {
	t.Helper()
	// A server of a cluster accepts connections before it is healthy, which needs a majority.
	ready, healthy := "http://"+n.monitor+"/healthz", "http://"+n.monitor+"/healthz"
	if n.cluster != "" {
		ready = "http://" + n.monitor + "/varz"
	}
	args := []string{"-c", n.write(t)}
	if n.cluster != "" && n.deployed != "" { // each on its own port
		n.env = append(slices.Clone(n.env), "NATS_SERVER_NAME="+n.name, "NATS_ROUTES=["+strings.ReplaceAll(strings.Join(n.routes, ", "), "//", "//route:"+PasswordOf("route")+"@")+"]")
		args = append(args, "--cluster", "nats://route:"+PasswordOf("route")+"@"+n.cluster)
	}
	p := newProcess(t, n.name, Program(t, "nats-server"), ready, n.env, args...)
	p.healthy = healthy
	e.Processes[n.name] = p.Start()
}

// write writes the server's settings and returns the path of the file.
func (n node) write(t testing.TB) string {
	t.Helper()
	host, port, _ := strings.Cut(n.addr, ":")
	var s strings.Builder
	if n.deployed != "" { // later settings override those of the file
		fmt.Fprintf(&s, "include %q\n", n.copyDeployed(t))
	}
	fmt.Fprintf(&s, "server_name: %s\nhost: %s\nport: %s\nhttp: %q\n", n.name, host, port, n.monitor)
	if n.deployed == "" { // the test uses the deployment's own settings for messages and the disk
		fmt.Fprintf(&s, "max_payload: 8MB\n")
	}
	if n.deployed == "" || n.room != "" { // a second jetstream block replaces the whole first one
		fmt.Fprintf(&s, "jetstream {\n  store_dir: %q\n  sync_interval: %s\n", n.dir, n.sync)
		if n.key != "" {
			fmt.Fprintf(&s, "  key: %q\n", n.key)
		}
		if n.room != "" {
			fmt.Fprintf(&s, "  max_file_store: %s\n", n.room)
		}
		fmt.Fprintf(&s, "}\n")
	}
	if n.cluster != "" && n.deployed == "" {
		fmt.Fprintf(&s, "cluster {\n  name: signrelay\n  listen: %q\n  routes: [%s]\n}\n", n.cluster, strings.Join(n.routes, ", "))
	}
	path := n.dir + ".conf"
	if err := os.WriteFile(path, []byte(s.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// copyDeployed copies a deployment's files into the server's folder, with the test's folder for streams, and returns the relative path of
// the server's file. The server accepts no other store_dir than that of the file, and a second jetstream block replaces the whole first
// one.
func (n node) copyDeployed(t testing.TB) string {
	t.Helper()
	const stored = "store_dir: /data"
	files, err := filepath.Glob(filepath.Join(filepath.Dir(n.deployed), "*.conf"))
	if err != nil {
		t.Fatal(err)
	}
	to := n.dir + "-deployed"
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if made, ours := flow.AccountFiles()[filepath.Base(file)]; ours && filepath.Dir(file) == filepath.Join(Root(), "deployments", "nats") {
			text = []byte(made) // equal to the file, except in a test that mutates the map of the flow
		}
		found += strings.Count(string(text), stored)
		mine := strings.ReplaceAll(string(text), stored, fmt.Sprintf("store_dir: %q", n.dir))
		if err := os.WriteFile(filepath.Join(to, filepath.Base(file)), []byte(mine), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if found != 1 {
		t.Fatalf("%s is in %s %d times", stored, n.deployed, found)
	}
	return filepath.Join(filepath.Base(to), filepath.Base(n.deployed))
}

// responds reports whether a GET returns status 200.
func responds(url string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
