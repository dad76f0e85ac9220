package realtest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// Postgres starts a PostgreSQL server, and returns the address of a database in it, empty at first. It ends with the test. With
// SIGNRELAY_TEST_POSTGRES_URL, whose user may create databases, it creates a database there instead.
func Postgres(t testing.TB) string {
	t.Helper()
	Server(t, "a PostgreSQL")
	if outside := os.Getenv("SIGNRELAY_TEST_POSTGRES_URL"); outside != "" {
		return outsideDatabase(t, outside)
	}
	return NewPostgres(t).URL
}

// PostgresServer is a PostgreSQL that a test can kill and start again.
type PostgresServer struct {
	URL string // of a database in it, empty at first

	t             testing.TB
	program, data string
	as            func() *syscall.SysProcAttr
	port          string
	cmd           *exec.Cmd
	ended         chan struct{}
}

// NewPostgres starts a PostgreSQL server, which ends with the test.
func NewPostgres(t testing.TB) *PostgresServer {
	t.Helper()
	Server(t, "a PostgreSQL")
	initdb, postgres := postgresProgram("initdb"), postgresProgram("postgres")
	if initdb == "" || postgres == "" {
		Missing(t, "initdb and postgres are not installed: install the Debian package postgresql, or set SIGNRELAY_TEST_POSTGRES_URL to a PostgreSQL for tests")
	}
	dir, err := os.MkdirTemp("", "signrelay-postgres-") //nolint:usetesting // the name of a socket has at most 107 bytes, so t.TempDir is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &PostgresServer{t: t, program: postgres, data: filepath.Join(dir, "data"), as: postgresUser(t, dir)}
	initialize := exec.CommandContext(t.Context(), initdb, "-D", p.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initialize.SysProcAttr, initialize.Dir = p.as(), dir
	if out, err := initialize.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	t.Cleanup(func() { p.stop(syscall.SIGQUIT) }) // at once: the data are removed anyway
	for range 10 {                                // another process may take the port first
		p.port = freePort(t)
		p.URL = "postgres://postgres@127.0.0.1:" + p.port + "/postgres?sslmode=disable"
		if p.start() {
			return p
		}
	}
	t.Fatal("PostgreSQL did not start")
	return nil
}

// Kill ends the server and its connections as a crash does.
func (p *PostgresServer) Kill() {
	p.t.Helper()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
}

// Start starts a killed server again, at the same address.
func (p *PostgresServer) Start() {
	p.t.Helper()
	if !p.start() {
		p.t.Fatal("PostgreSQL did not start again")
	}
}

func (p *PostgresServer) stop(how syscall.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(how)
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		p.Kill()
	}
}

// postgresProgram finds a program of PostgreSQL, which Debian does not put into PATH.
func postgresProgram(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		return ""
	}
	return slices.Max(found)
}

// postgresUser returns the attributes of the server's processes: PostgreSQL refuses to run as root.
func postgresUser(t testing.TB, dir string) func() *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return ownGroup
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatal("PostgreSQL does not run as root, and there is no user postgres")
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return func() *syscall.SysProcAttr {
		attr := ownGroup()
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return attr
	}
}

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// start reports whether the server runs; it may end at once if another process has its port. It syncs no file, because a test's database need not
// survive the machine.
func (p *PostgresServer) start() bool {
	p.t.Helper()
	var log strings.Builder
	var lock sync.Mutex
	cmd := exec.CommandContext(context.WithoutCancel(p.t.Context()), p.program, "-D", p.data, "-p", p.port, "-h", "127.0.0.1", "-k", filepath.Dir(p.data),
		"-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_connections=40")
	cmd.Stderr = writer(func(text []byte) (int, error) { lock.Lock(); defer lock.Unlock(); return log.Write(text) })
	cmd.SysProcAttr, cmd.Dir = p.as(), filepath.Dir(p.data)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	p.cmd, p.ended = cmd, ended
	db, err := sql.Open("pgx", p.URL)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if err = db.PingContext(p.t.Context()); err == nil {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	lock.Lock()
	defer lock.Unlock()
	p.t.Fatalf("PostgreSQL does not answer: %v\n%s", err, log.String())
	return false
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// outsideDatabase creates a database of an outside server, and drops it after the test.
func outsideDatabase(t testing.TB, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal("SIGNRELAY_TEST_POSTGRES_URL is not postgres://…")
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("signrelay_test_%d_%d", os.Getpid(), time.Now().UnixNano())
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("PostgreSQL at SIGNRELAY_TEST_POSTGRES_URL: %v", err)
	}
	t.Cleanup(func() {
		_, _ = db.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		_ = db.Close()
	})
	u.Path = "/" + name
	return u.String()
}
