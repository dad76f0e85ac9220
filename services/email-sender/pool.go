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

// pool keeps connections open between letters: a greeting, TLS and a login cost more than a letter. Never more than the
// setting email.smtp.connections stand at once, in use and idle together.
type pool struct {
	server  *config.Current[server] // each new connection uses the current password
	places  chan struct{}           // one is taken by each connection in use
	idleFor time.Duration           // then an idle connection is closed

	mu      sync.Mutex
	idle    []*connection      // the one used last is at the end, and used first
	refused error              // what the server said to our name and password, or why it does not want us
	until   time.Time          // it is not asked again before, unless with other settings
	asked   emailsettings.SMTP // the settings that it refused
}

const (
	// idleFor is less than the minutes after which servers close an idle connection.
	idleFor = 30 * time.Second
	// quiet is how long the server is left alone after it refused us: a wrong password, told again for each of a thousand
	// letters, gets an account locked.
	quiet = time.Minute
	// soon is when a letter that found all connections busy comes again.
	soon = time.Second
)

func newPool(current *config.Current[server]) *pool {
	return &pool{server: current, places: make(chan struct{}, max(current.Now().settings.Connections, 1)), idleFor: idleFor}
}

// usualEnd is how long a server may take to reply to the final dot, where the settings do not say (RFC 5321 §4.5.3.2.6).
const usualEnd = 10 * time.Minute

// send hands over one letter. Each step may take the setting email.smtp.timeout, so may the wait for a free connection, and
// the reply to the final dot may take email.smtp.end_timeout.
func (p *pool) send(ctx context.Context, letter *mail.Msg) (notification.Receipt, error) {
	if p.server.Now().settings.Host == "" {
		return notification.Receipt{}, outcome.NeedsOperator(outcome.Account, "not-configured", errors.New("email.smtp.host is empty"))
	}
	if !p.enter(ctx) {
		return notification.Receipt{}, outcome.Later(soon, "connections-busy")
	}
	defer func() { <-p.places }()

	settings := p.server.Now().settings
	within := limits{step: settings.Timeout, end: cmp.Or(settings.EndTimeout, usualEnd)}
	if kept := p.take(ctx); kept != nil {
		response, err := kept.carry(ctx, letter, within)
		if !ended(err) || ctx.Err() != nil {
			return p.after(kept, response, err)
		}
		kept.hangUp() // nothing of the letter was written, so that another connection is no second attempt
	}
	fresh, err := p.dial(ctx)
	if err != nil {
		return notification.Receipt{}, err
	}
	response, err := fresh.carry(ctx, letter, within)
	return p.after(fresh, response, err)
}

// enter waits for a place.
func (p *pool) enter(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, p.server.Now().settings.Timeout)
	defer cancel()
	select {
	case p.places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// take returns the connection that was used last, if it is still good. Only one is tried: where one is not, the others
// are hardly better.
func (p *pool) take(ctx context.Context) *connection {
	p.mu.Lock()
	last := len(p.idle) - 1
	if last < 0 {
		p.mu.Unlock()
		return nil
	}
	c := p.idle[last]
	p.idle = p.idle[:last]
	c.leaving.Stop()
	p.mu.Unlock()

	if !c.alive(ctx, p.server.Now().settings.Timeout/3) {
		c.hangUp()
		return nil
	}
	return c
}

// dial opens a connection, unless the server has just refused us.
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
	verdict := verdictOfDialling(err)
	if refusal(err) {
		p.mu.Lock()
		p.refused, p.until, p.asked = verdict, time.Now().Add(quiet), now.settings
		p.mu.Unlock()
	}
	return nil, verdict
}

// after is what became of a letter. Its connection stays open where nothing went wrong.
func (p *pool) after(c *connection, response string, err error) (notification.Receipt, error) {
	switch {
	case err == nil:
		p.keep(c)
	case answered(err):
		c.quit()
	default:
		c.hangUp()
	}
	return verdict(response, err)
}

// keep puts a connection aside for the next letter.
func (p *pool) keep(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.leaving = time.AfterFunc(p.idleFor, func() { p.leave(c) })
	p.idle = append(p.idle, c)
}

// leave closes a connection that was idle for too long, unless it was taken in the same moment.
func (p *pool) leave(c *connection) {
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

// close takes leave of the server on all idle connections. Nothing may be on its way any more.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	var all sync.WaitGroup
	for _, c := range idle {
		c.leaving.Stop()
		all.Go(c.quit)
	}
	all.Wait()
}
