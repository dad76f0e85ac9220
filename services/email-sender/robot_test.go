package emailsender

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
)

// robot is a mail server that follows a script. It accepts every command that the script does not have.
type robot struct {
	port int

	mu       sync.Mutex
	script   map[string]string // by "<connection> <command>", with connections from 1; "." is the end of a message, and "CONNECT" the start of a connection
	received []string          // in the script's notation
	open     int
	most     int // the number that were open at once
}

// Actions that a script may contain instead of a reply.
const (
	hangUp     = "hang up"
	noReply    = "nothing"
	thenHangUp = " and hang up" // after the reply
)

func newRobot(t *testing.T, script map[string]string) *robot {
	t.Helper()
	l, port := listen(t)
	r := &robot{port: port, script: script}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context())) // it serves until the test's cleanup
	var served sync.WaitGroup
	served.Go(func() {
		for n := 1; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { _ = conn.Close() })
			served.Go(func() { r.talk(conn, n) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		stop()
		served.Wait()
	})
	return r
}

func (r *robot) talk(conn net.Conn, n int) {
	r.count(1)
	defer r.count(-1)
	defer func() { _ = conn.Close() }()
	lines := bufio.NewScanner(conn)
	message := false
	for command, more := "CONNECT", true; more; {
		if !message && !r.respond(conn, fmt.Sprintf("%d %s", n, command)) {
			return
		}
		message = command == "DATA" || message
		more = lines.Scan()
		command = strings.ToUpper(strings.Fields(lines.Text() + " ?")[0])
		if message && lines.Text() == "." {
			message = false
		}
	}
}

// respond replies to a command, and reports whether the connection stays open.
func (r *robot) respond(conn net.Conn, received string) bool {
	r.mu.Lock()
	r.received = append(r.received, received)
	reply, scripted := r.script[received]
	r.mu.Unlock()
	_, command, _ := strings.Cut(received, " ")
	if !scripted {
		reply = map[string]string{
			"CONNECT": "220 robot ESMTP", "EHLO": "250-robot\r\n250 8BITMIME", "DATA": "354 go on", "QUIT": "221 bye",
		}[command]
	}
	switch reply {
	case hangUp:
		return false
	case noReply:
		return true
	case "":
		reply = "250 OK queued as robot"
	}
	reply, last := strings.CutSuffix(reply, thenHangUp)
	_, err := conn.Write([]byte(reply + "\r\n"))
	return err == nil && !last && command != "QUIT"
}

func (r *robot) count(change int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open += change
	r.most = max(r.most, r.open)
}

// messages counts the messages that were sent completely, for any reply.
func (r *robot) messages() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(r.received), func(s string) bool { return !strings.HasSuffix(s, " .") }))
}

// connections counts the opened connections.
func (r *robot) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(r.received), func(s string) bool { return !strings.HasSuffix(s, " CONNECT") }))
}

// await waits until the robot received a command.
func (r *robot) await(t *testing.T, command string) {
	t.Helper()
	until(t, command, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Contains(r.received, command)
	})
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(10 * time.Second)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// pool returns a pool of connections to the robot.
func (r *robot) pool(t *testing.T, timeout time.Duration) *pool {
	t.Helper()
	p := newPool(fixed(emailsettings.SMTP{Host: "127.0.0.1", Port: r.port, TLS: "none", Timeout: timeout, EndTimeout: timeout, Connections: 2}))
	t.Cleanup(p.close)
	return p
}
