package security

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// Another user of the machine that runs `signrelay run` can connect to the broker's port, but reaches neither the broker nor its data.
func TestLocalUserCannotReachBroker(t *testing.T) { //nolint:tparallel // the last part stops the process that the others use
	t.Parallel()
	h := testenv.Standalone(t)
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(h.DataDir, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	password, master := read("nats.password"), read("master.key")
	if len(password) < 26 || len(master) < 32 || password == master {
		t.Errorf("a password of %d characters and a master key of %d", len(password), len(master))
	}
	for name, options := range map[string][]nats.Option{
		"no password":          nil,
		"a user alone":         {nats.UserInfo("signrelay", "")},
		"another password":     {nats.UserInfo("signrelay", password+"x")},
		"its beginning":        {nats.UserInfo("signrelay", password[:len(password)-1])},
		"another user":         {nats.UserInfo("operator", password)},
		"the system's account": {nats.UserInfo("sys", password)},
		"no user":              {nats.UserInfo("", password)},
		"a token":              {nats.Token(password)},
	} {
		if c, err := nats.Connect(h.NATSURL, append(options, nats.Timeout(20*time.Second))...); err == nil {
			js, err := jetstream.New(c)
			if err == nil {
				_, err = js.Stream(t.Context(), flow.Signing)
			}
			c.Close()
			t.Errorf("%s: let in, and reads the log: %t", name, err == nil)
		}
	}
	h.Play(t, "clickwrap", "one-signer")
	h.Until(t, "the log has it", func() bool { return h.Count(t, flow.Signing, "signing.v1.>") > 0 }) // with the password
	if tail, err := h.Command(t, "tail", "--no-follow"); err != nil || !strings.Contains(tail, "document.sent") {
		t.Errorf("the operator's own command: %v\n%s", err, tail)
	}

	t.Run("files", func(t *testing.T) {
		for name, want := range map[string]os.FileMode{".": 0o700, "nats.password": 0o600, "master.key": 0o600, "demo-esign-v1.pem": 0o600, "lock": 0o600, "nats": 0o700} {
			if info, err := os.Stat(filepath.Join(h.DataDir, name)); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v %v, want %v", name, info.Mode(), err, want)
			}
		}
	})
	t.Run("ports", func(t *testing.T) {
		known := []string{h.Processes["signrelay"].AdminURL()}
		known = append(known, h.IngestURL, h.SandboxURL, h.NATSURL, h.Address("SIGNRELAY_SMTP_ADDR"), h.Address("SIGNRELAY_CONSOLE_ADDR"))
		for _, port := range listening(t, h.Processes["signrelay"].PID()) {
			if !slices.ContainsFunc(known, func(address string) bool { return strings.HasSuffix(address, ":"+port) }) {
				t.Errorf("a process listens on port %s", port)
			}
		}
	})
	t.Run("the output", func(t *testing.T) {
		settings, err := h.Command(t, "config", "print")
		if err != nil {
			t.Fatal(err)
		}
		doctor, _ := h.Command(t, "doctor") // it may report findings
		for name, output := range map[string]string{"the log": h.Processes["signrelay"].Output(), "config print": settings, "the doctor": doctor} {
			if output == "" || strings.Contains(output, password) || strings.Contains(output, master) {
				t.Errorf("%s contains a secret, or is empty:\n%s", name, output)
			}
		}
	})
	t.Run("a restart", func(t *testing.T) {
		h.Processes["signrelay"].Stop()
		h.Processes["signrelay"].Start()
		if read("nats.password") != password || read("master.key") != master {
			t.Error("a restart creates new secrets")
		}
	})
}

// listening returns the TCP ports on which a process listens.
func listening(t *testing.T, pid int) []string {
	t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	files, err := filepath.Glob(filepath.Join(proc, "fd", "*"))
	if err != nil || len(files) == 0 {
		t.Skip("there is no /proc here")
	}
	sockets := map[string]bool{}
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil {
			sockets[to] = true
		}
	}
	var ports []string
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join(proc, "net", table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			const listen = "0A"
			if f := strings.Fields(line); len(f) > 9 && f[3] == listen && sockets["socket:["+f[9]+"]"] {
				n, err := strconv.ParseUint(f[1][strings.LastIndexByte(f[1], ':')+1:], 16, 16)
				if err != nil {
					t.Fatal(err)
				}
				ports = append(ports, strconv.FormatUint(n, 10))
			}
		}
	}
	if len(ports) == 0 {
		t.Error("the test found no listening socket of the process")
	}
	return ports
}

// The embedded server's user and password are those of the settings.
func TestBrokerUsesCredentialsOfSettings(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t, "SIGNRELAY_NATS_USER=acme", "SIGNRELAY_NATS_PASSWORD=correct-horse")
	for name, c := range map[string]struct {
		user, password string
		in             bool
	}{
		"theirs": {"acme", "correct-horse", true}, "another password": {"acme", "correct-house", false},
		"the made-up user": {"signrelay", "correct-horse", false}, "unknown": {"", "", false},
	} {
		c2, err := nats.Connect(h.NATSURL, nats.UserInfo(c.user, c.password), nats.Timeout(20*time.Second))
		if err == nil {
			c2.Close()
		}
		if (err == nil) != c.in {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(h.DataDir, "nats.password")); err == nil {
		t.Error("a password was generated although the settings have one")
	}
	if out, err := h.CommandWith(t, []string{"SIGNRELAY_NATS_USER=acme", "SIGNRELAY_NATS_PASSWORD=correct-horse"}, "tail", "--no-follow"); err != nil {
		t.Errorf("a command with them: %v\n%s", err, out)
	}
}

// start runs `signrelay <args>` with one source on free ports, and stops it if it starts. It returns the output and whether the start was
// refused.
func start(t *testing.T, env []string, args ...string) (output string, refused bool) {
	t.Helper()
	program := testenv.Program(t, "signrelay") // built now, at the first use
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	settings := filepath.Join(t.TempDir(), "signrelay.yaml")
	must(t, os.WriteFile(settings, []byte("sources: [{name: acme, provider: clickwrap, webhook: {secrets: [s3cret]}}]\nshortener: {public_url: 'http://localhost'}"), 0o600))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SIGNRELAY_DRAIN_DELAY=0s", "SIGNRELAY_CONFIG=" + settings}
	for _, variable := range append([]string{"SIGNRELAY_NATS_ADDR", "SIGNRELAY_ADMIN_ADDR"}, testenv.Listeners...) {
		cmd.Env = append(cmd.Env, variable+"=127.0.0.1:0")
	}
	cmd.Env = append(cmd.Env, env...)
	out := &stopper{ends: "is ready after", stop: cancel}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	return out.String(), err != nil && ctx.Err() == nil
}

// stopper collects output, and stops the program when the output contains a text.
type stopper struct {
	strings.Builder

	ends string
	stop func()
}

func (s *stopper) Write(p []byte) (int, error) {
	n, err := s.Builder.Write(p)
	if strings.Contains(s.String(), s.ends) {
		s.stop()
	}
	return n, err
}

// Another user who prepares the data directory, or puts a file into it, cannot choose the password, and cannot make Signrelay read or write
// another file.
func TestDataDirectoryIsPrivate(t *testing.T) {
	t.Parallel()
	mkdir := func(mode os.FileMode) func(*testing.T, string, string) {
		return func(t *testing.T, dir, _ string) {
			t.Helper()
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.Chmod(dir, mode))
		}
	}
	inside := func(prepare func(path, elsewhere string) error) func(name string) func(*testing.T, string, string) {
		return func(name string) func(*testing.T, string, string) {
			return func(t *testing.T, dir, elsewhere string) {
				t.Helper()
				must(t, os.Mkdir(dir, 0o700))
				must(t, prepare(filepath.Join(dir, name), elsewhere))
			}
		}
	}
	link := inside(func(path, elsewhere string) error { return os.Symlink(filepath.Join(elsewhere, "file"), path) })
	dangling := inside(func(path, elsewhere string) error { return os.Symlink(filepath.Join(elsewhere, "new"), path) })
	toFolder := inside(func(path, elsewhere string) error { return os.Symlink(elsewhere, path) })
	folder := inside(func(path, _ string) error { return os.Mkdir(path, 0o700) })
	pipe := inside(func(path, _ string) error { return unix.Mkfifo(path, 0o600) })
	empty := inside(func(path, _ string) error { return os.WriteFile(path, nil, 0o600) })
	file := func(mode os.FileMode) func(string) func(*testing.T, string, string) {
		return inside(func(path, _ string) error {
			return errors.Join(os.WriteFile(path, []byte(strings.Repeat("attacker", 8)), 0o600), os.Chmod(path, mode))
		})
	}
	theirs := inside(func(path, _ string) error {
		return errors.Join(os.WriteFile(path, []byte(strings.Repeat("attacker", 8)), 0o600), os.Chown(path, 65534, 65534))
	})
	attacks := map[string]folderAttack{
		"nothing there":                    {func(*testing.T, string, string) {}, "", false},
		"a folder of one's own":            {mkdir(0o700), "", false},
		"a folder that all users read":     {mkdir(0o755), "", false},
		"a folder as mkdir makes":          {mkdir(0o750), "", false},
		"a folder that all users write to": {mkdir(0o777), "may write to", false},
		"a folder like /tmp":               {mkdir(0o777 | os.ModeSticky), "may write to", false},
		"a folder of a group":              {mkdir(0o770), "may write to", false},
		"a folder with files that others read": {func(t *testing.T, dir, _ string) {
			mkdir(0o755)(t, dir, "")
			must(t, os.Mkdir(filepath.Join(dir, "x"), 0o700))
		}, "not Signrelay's", false},
		"another user's folder": {func(t *testing.T, dir, _ string) { mkdir(0o700)(t, dir, ""); must(t, os.Chown(dir, 65534, 65534)) }, "belongs to the user with the id 65534", true},
		"a link to a folder":    {func(t *testing.T, dir, elsewhere string) { must(t, os.Symlink(elsewhere, dir)) }, "is a symbolic link", false},
		"a link to nothing":     {func(t *testing.T, dir, elsewhere string) { must(t, os.Symlink(filepath.Join(elsewhere, "new"), dir)) }, "is a symbolic link", false},
		"a file":                {func(t *testing.T, dir, _ string) { must(t, os.WriteFile(dir, nil, 0o600)) }, "it is a file", false},
		"streams behind a link": {toFolder("nats"), "is a symbolic link", false},
		"a part of the streams behind a link": {inside(func(path, elsewhere string) error {
			return errors.Join(os.Mkdir(path, 0o700), os.Symlink(elsewhere, filepath.Join(path, "jetstream")))
		})("nats"), "jetstream is a symbolic link", false},
		"a pipe among the streams": {inside(func(path, _ string) error {
			return errors.Join(os.Mkdir(path, 0o700), unix.Mkfifo(filepath.Join(path, "x"), 0o600))
		})("nats"), "was not created by Signrelay", false},
		"streams others write to": {inside(func(path, _ string) error { return errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, 0o777)) })("nats"), "may write to", false},
	}
	for _, name := range []string{"nats.password", "master.key", "demo-esign-v1.pem", "lock"} {
		const linked, notOurs, belongs = "is a symbolic link", "was not created by Signrelay", "belongs to the user with the id 65534"
		for kind, attack := range map[string]folderAttack{
			"a link": {link(name), linked, false}, "a dangling link": {dangling(name), linked, false}, "a folder": {folder(name), notOurs, false},
			"a pipe": {pipe(name), notOurs, false}, "written to by all": {file(0o666)(name), "other users may", false}, "another user's": {theirs(name), belongs, true},
		} {
			attacks[name+": "+kind] = attack
		}
		if name != "lock" {
			attacks[name+": read by all"], attacks[name+": read by a group"] = folderAttack{file(0o644)(name), "may read", false}, folderAttack{file(0o640)(name), "may read", false}
		}
	}
	for _, name := range []string{"nats.password", "master.key"} {
		attacks[name+": empty"] = folderAttack{empty(name), "is empty", false}
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if attack.root && os.Geteuid() != 0 {
				t.Skip("only root can prepare it")
			}
			dir, elsewhere := filepath.Join(t.TempDir(), "data"), t.TempDir()
			must(t, os.WriteFile(filepath.Join(elsewhere, "file"), []byte("another's"), 0o600))
			attack.prepare(t, dir, elsewhere)
			env := []string{"SIGNRELAY_DATA_DIR=" + dir + "/"} // a slash at the end makes the system follow a link
			for _, args := range [][]string{{"config", "check"}, {"run"}} {
				output, refused := start(t, env, args...)
				if args[0] == "config" && attack.want == "is empty" {
					continue // only the start reads the file
				}
				if refused != (attack.want != "") || refused && !strings.Contains(output, "data_dir: ") && !strings.Contains(output, "is empty") || !strings.Contains(output, attack.want) {
					t.Errorf("%s: refused %t, want %q:\n%s", args, refused, attack.want, output)
				}
			}
			if text, err := os.ReadFile(filepath.Join(elsewhere, "file")); err != nil || string(text) != "another's" {
				t.Errorf("the other user's file: %q %v", text, err)
			}
			if entries, err := os.ReadDir(elsewhere); err != nil || len(entries) != 1 {
				t.Errorf("a file was created elsewhere: %v %v", entries, err)
			}
			if info, err := os.Stat(dir); attack.want == "" && (err != nil || info.Mode().Perm() != 0o700) {
				t.Errorf("the folder afterwards: %v %v", info, err)
			}
		})
	}
}

// folderAttack is a change by another user to a data directory before its use.
type folderAttack struct {
	prepare func(t *testing.T, dir, elsewhere string)
	want    string // text of the refusal; empty if the start is not refused
	root    bool   // only root can prepare it
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A broker on the network needs a password that the operator chose.
func TestBrokerOnNetworkNeedsCredentials(t *testing.T) {
	t.Parallel()
	port := strconv.Itoa(closedPort(t))
	user := []string{"SIGNRELAY_NATS_USER=acme", "SIGNRELAY_NATS_PASSWORD=correct-horse"}
	for _, c := range []struct {
		addr string
		env  []string
		want string
	}{
		{"127.0.0.1:0", nil, ""},
		{"localhost:0", nil, ""},
		{"[::1]:" + port, nil, ""},
		{"127.8.9.10:0", nil, ""},
		{"[::ffff:127.0.0.1]:0", nil, ""},
		{":" + port, nil, "nats.addr: other machines can reach this address"},
		{"0.0.0.0:0", nil, "nats.addr: other machines can reach this address"},
		{"[::]:0", nil, "nats.addr: other machines can reach this address"},
		{"192.0.2.7:4222", nil, "nats.addr: other machines can reach this address"},
		{"[::ffff:0.0.0.0]:0", nil, "nats.addr: other machines can reach this address"},
		{"broker.acme.example:4222", nil, "nats.addr: other machines can reach this address"},
		{"localhost.acme.example:4222", nil, "nats.addr: other machines can reach this address"},
		{":" + port, user, ""},
		{":" + port, user[:1], "nats.password: nats.user is set"},
		{":" + port, user[1:], "nats.user: password is set"},
		{"127.0.0.1:0", user[:1], "nats.password: nats.user is set"},
		{"127.0.0.1:0", []string{"SIGNRELAY_NATS_CREDS=/dev/null"}, "nats.creds: the embedded NATS server"},
		{"127.0.0.1:0", []string{"SIGNRELAY_NATS_TLS_CA=x"}, "nats.tls"},
	} {
		t.Run(fmt.Sprint(c.addr, len(c.env)), func(t *testing.T) {
			t.Parallel()
			env := append([]string{"SIGNRELAY_DATA_DIR=" + filepath.Join(t.TempDir(), "data"), "SIGNRELAY_NATS_ADDR=" + c.addr}, c.env...)
			output, refused := start(t, env, "config", "check")
			if refused != (c.want != "") || !strings.Contains(output, c.want) {
				t.Errorf("the check: refused %t, want %q:\n%s", refused, c.want, output)
			}
			if c.want == "" {
				return // this machine may not have some of these addresses
			}
			if output, refused := start(t, env, "run"); !refused || !strings.Contains(output, c.want) {
				t.Errorf("the start: refused %t, want %q:\n%s", refused, c.want, output)
			}
		})
	}
}

func closedPort(t *testing.T) int {
	t.Helper()
	_, port, err := net.SplitHostPort(testenv.FreeAddress(t))
	must(t, err)
	n, err := strconv.Atoi(port)
	must(t, err)
	return n
}
