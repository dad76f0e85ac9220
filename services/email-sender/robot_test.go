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

// robot is a mail server of few words. It follows a script where that has a line for what it heard, and else takes
// everything.
type robot struct {
	port int

	mu     sync.Mutex
	script map[string]string // by "<connection> <command>", counted from 1; "." is the end of a letter, "CONNECT" the start
	heard  []string          // in the script's words
	open   int
	most   int // that were open at once
}

// What a script may say besides an answer.
const (
	hangUp      = "hang up"
	saysNothing = "nothing"
	thenHangUp  = " and hang up" // after the answer
)

func newRobot(t *testing.T, script map[string]string) *robot {
	t.Helper()
	l, port := listen(t)
	r := &robot{port: port, script: script}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context())) // it serves until the test has cleaned up
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
	letter := false
	for command, more := "CONNECT", true; more; {
		if !letter && !r.answer(conn, fmt.Sprintf("%d %s", n, command)) {
			return
		}
		letter = command == "DATA" || letter
		more = lines.Scan()
		command = strings.ToUpper(strings.Fields(lines.Text() + " ?")[0])
		if letter && lines.Text() == "." {
			letter = false
		}
	}
}

// answer tells whether the connection goes on.
func (r *robot) answer(conn net.Conn, heard string) bool {
	r.mu.Lock()
	r.heard = append(r.heard, heard)
	answer, scripted := r.script[heard]
	r.mu.Unlock()
	_, command, _ := strings.Cut(heard, " ")
	if !scripted {
		answer = map[string]string{
			"CONNECT": "220 robot ESMTP", "EHLO": "250-robot\r\n250 8BITMIME", "DATA": "354 go on", "QUIT": "221 bye",
		}[command]
	}
	switch answer {
	case hangUp:
		return false
	case saysNothing:
		return true
	case "":
		answer = "250 OK queued as robot"
	}
	answer, last := strings.CutSuffix(answer, thenHangUp)
	_, err := conn.Write([]byte(answer + "\r\n"))
	return err == nil && !last && command != "QUIT"
}

func (r *robot) count(change int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open += change
	r.most = max(r.most, r.open)
}

// letters counts those that came to their end, whatever the answer was.
func (r *robot) letters() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(r.heard), func(s string) bool { return !strings.HasSuffix(s, " .") }))
}

// connections counts those that were opened.
func (r *robot) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(r.heard), func(s string) bool { return !strings.HasSuffix(s, " CONNECT") }))
}

// await waits until the robot heard it.
func (r *robot) await(t *testing.T, heard string) {
	t.Helper()
	until(t, heard, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Contains(r.heard, heard)
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
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// pool is one to the robot.
func (r *robot) pool(t *testing.T, timeout time.Duration) *pool {
	t.Helper()
	p := newPool(fixed(emailsettings.SMTP{Host: "127.0.0.1", Port: r.port, TLS: "none", Timeout: timeout, EndTimeout: timeout, Connections: 2}))
	t.Cleanup(p.close)
	return p
}
