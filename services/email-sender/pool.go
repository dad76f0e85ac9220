package emailsender

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
)

// pool keeps connections open between messages: a greeting, TLS and a login cost more than a message. There are never more connections
// than the setting email.smtp.connections, in use and idle together.
type pool struct {
	server  *config.Current[server] // each new connection uses the current password
	slots   chan struct{}           // one element for each connection in use
	idleFor time.Duration           // the time for which an idle connection is kept

	mu      sync.Mutex
	idle    []*connection      // the connection used last is at the end, and is used first
	refused error              // the server's refusal of the login or the connection
	until   time.Time          // no new connection before this time, unless the settings change
	asked   emailsettings.SMTP // the settings that the server refused
}

const (
	// idleFor is shorter than the time after which servers close an idle connection.
	idleFor = 30 * time.Second
	// refusalPause is the pause after a refusal. If a wrong password were sent for each of a thousand messages, the account would be locked.
	refusalPause = time.Minute
	// busyRetry is the delay of a message that found all connections busy.
	busyRetry = time.Second
)

func newPool(current *config.Current[server]) *pool {
	return &pool{server: current, slots: make(chan struct{}, max(current.Now().settings.Connections, 1)), idleFor: idleFor}
}

// defaultEndTimeout is the time for the reply to the final dot, unless the settings have another value (RFC 5321 §4.5.3.2.6).
const defaultEndTimeout = 10 * time.Minute

// send sends one message. Each step, and the wait for a free connection, may take the setting email.smtp.timeout. The reply to the final
// dot may take email.smtp.end_timeout.
func (p *pool) send(ctx context.Context, message *mail.Msg) (notification.Receipt, error) {
	if p.server.Now().settings.Host == "" {
		return notification.Receipt{}, outcome.NeedsOperator(outcome.Account, "not-configured", errors.New("email.smtp.host is empty"))
	}
	if !p.acquire(ctx) {
		return notification.Receipt{}, outcome.Later(busyRetry, "connections-busy")
	}
	defer func() { <-p.slots }()

	settings := p.server.Now().settings
	within := limits{step: settings.Timeout, end: cmp.Or(settings.EndTimeout, defaultEndTimeout)}
	if kept := p.take(ctx); kept != nil {
		response, err := kept.transfer(ctx, message, within)
		if !ended(err) || ctx.Err() != nil {
			return p.finish(kept, response, err)
		}
		kept.abort() // no part of the message was written, so another connection is not a second attempt
	}
	fresh, err := p.dial(ctx)
	if err != nil {
		return notification.Receipt{}, err
	}
	response, err := fresh.transfer(ctx, message, within)
	return p.finish(fresh, response, err)
}

// acquire waits for a free connection.
func (p *pool) acquire(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, p.server.Now().settings.Timeout)
	defer cancel()
	select {
	case p.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// take returns the last used connection if it is alive. It tries only one connection: if that one is dead, the others probably are too.
func (p *pool) take(ctx context.Context) *connection {
	p.mu.Lock()
	last := len(p.idle) - 1
	if last < 0 {
		p.mu.Unlock()
		return nil
	}
	c := p.idle[last]
	p.idle = p.idle[:last]
	c.expiry.Stop()
	p.mu.Unlock()

	if !c.alive(ctx, p.server.Now().settings.Timeout/3) {
		c.abort()
		return nil
	}
	return c
}

// dial opens a connection, unless the server refused one within refusalPause.
func (p *pool) dial(ctx context.Context) (*connection, error) {
	now := p.server.Now()
	ctx, cancel := context.WithTimeout(ctx, now.settings.Timeout)
	defer cancel()
	p.mu.Lock()
	refused, until, asked := p.refused, p.until, p.asked
	p.mu.Unlock()
	if refused != nil && time.Now().Before(until) && now.settings == asked {
		return nil, refused
	}
	c, err := now.dial(ctx)
	if err == nil {
		return c, nil
	}
	failure := outcomeOfDial(err)
	if refusal(err) {
		p.mu.Lock()
		p.refused, p.until, p.asked = failure, time.Now().Add(refusalPause), now.settings
		p.mu.Unlock()
	}
	return nil, failure
}

// finish returns a message's outcome. Its connection stays open if nothing failed.
func (p *pool) finish(c *connection, response string, err error) (notification.Receipt, error) {
	switch {
	case err == nil:
		p.keep(c)
	case replied(err):
		c.quit()
	default:
		c.abort()
	}
	return outcomeOf(response, err)
}

// keep keeps a connection for the next message.
func (p *pool) keep(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.expiry = time.AfterFunc(p.idleFor, func() { p.expire(c) })
	p.idle = append(p.idle, c)
}

// expire closes a connection that was idle for too long, unless it was taken at the same time.
func (p *pool) expire(c *connection) {
	p.mu.Lock()
	at := slices.Index(p.idle, c)
	if at >= 0 {
		p.idle = slices.Delete(p.idle, at, at+1)
	}
	p.mu.Unlock()
	if at >= 0 {
		c.quit()
	}
}

// close closes all idle connections with QUIT. No message may be in flight then.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	var all sync.WaitGroup
	for _, c := range idle {
		c.expiry.Stop()
		all.Go(c.quit)
	}
	all.Wait()
}
