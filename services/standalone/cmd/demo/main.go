// Command demo sends the callbacks of the providers' documentation to a new standalone and prints the messages that signers got. It exits
// with 0 only if the three example texts of the documentation appeared unchanged, every link opened, and a reminder arrived.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/telemetry"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
	"github.com/signrelay/signrelay/services/reminder"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
	"github.com/signrelay/signrelay/services/sections"
	"github.com/signrelay/signrelay/services/standalone"
)

// The documentation's example texts, with patterns for the links.
var examples = []*regexp.Regexp{
	regexp.MustCompile(`^You've been sent "PS Employment Agreement" by PactSafe\. Please review & sign: https?://\S+$`),
	regexp.MustCompile(`^Eric Smith has signed "Employment Agreement"\. One more signature is needed to complete the document\.$`),
	regexp.MustCompile(`^"PS Employment Agreement" has been accepted by all parties\. Download your document here: https?://\S+$`),
}

// storyMessages is the number of messages of the Clickwrap story. tests/e2e contains their texts.
const storyMessages = 13

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := demo(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "signrelay-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cfg, err := settings(ctx, dir)
	if err != nil {
		return err
	}
	instance := start(ctx, cfg)
	defer instance.stop()
	if err := instance.awaitReady(ctx); err != nil {
		return err
	}
	fmt.Fprintf(w, "A new Signrelay is ready. Its sandbox plays the three flows of the Clickwrap documentation.\n\n")
	sandbox := "http://" + sandboxsettings.Section.Of(cfg).Addr
	if err := play(ctx, w, sandbox); err != nil {
		return err
	}
	due := storyMessages
	if _, err := awaitMessages(ctx, sandbox, due); err != nil {
		return err
	}
	for _, p := range printed {
		fmt.Fprintf(w, "\nThe callbacks in the documentation of %s:\n\n", p.title)
		for _, c := range p.callbacks {
			if err := c.send(ctx, w, cfg, p.provider); err != nil {
				return err
			}
			due += c.messages
			if _, err := awaitMessages(ctx, sandbox, due); err != nil {
				return err
			}
		}
	}
	time.Sleep(500 * time.Millisecond) // an additional message would arrive in this time
	messages, err := awaitMessages(ctx, sandbox, due)
	if err != nil {
		return err
	}
	if err := check(ctx, w, messages, due); err != nil {
		return err
	}
	return remind(ctx, w, cfg, sandbox, due)
}

// settings returns the default settings, with free ports and a new data directory.
func settings(ctx context.Context, dir string) (config.Config, error) {
	cfg := config.Default(sections.All...)
	ingest, sandbox := ingestsettings.Section.In(&cfg), sandboxsettings.Section.In(&cfg)
	cfg.DataDir, cfg.Log.Level = dir, "warn"
	for _, addr := range []*string{&ingest.Addr, &sandbox.Addr, &sandbox.SMTPAddr, &cfg.Admin.Addr, &cfg.NATS.Addr} {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return cfg, err
		}
		*addr = listener.Addr().String()
		if err := listener.Close(); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

// instance is a running standalone.
type instance struct {
	ready  chan struct{}
	ended  chan error
	cancel context.CancelFunc
}

func start(ctx context.Context, cfg config.Config) *instance {
	ctx, cancel := context.WithCancel(ctx)
	i := &instance{ready: make(chan struct{}), ended: make(chan error, 1), cancel: cancel}
	log := telemetry.Logger(os.Stderr, cfg.Log.Level, "signrelay")
	service.OneVoice(log)
	go func() { i.ended <- standalone.Run(ctx, cfg, log, nil, func() { close(i.ready) }) }()
	return i
}

func (i *instance) awaitReady(ctx context.Context) error {
	select {
	case <-i.ready:
		return nil
	case err := <-i.ended:
		i.ended <- err
		return fmt.Errorf("signrelay ended: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (i *instance) stop() {
	i.cancel()
	<-i.ended //nolint:errcheck // the demo already has its result
}

func play(ctx context.Context, w io.Writer, sandbox string) error {
	var played struct {
		Callbacks []struct {
			Event  string   `json:"event"`
			Status int      `json:"status"`
			IDs    []string `json:"ids"`
		} `json:"callbacks"`
	}
	if err := call(ctx, http.MethodPost, sandbox+"/api/play", `{"provider":"clickwrap","story":"seed"}`, &played); err != nil {
		return err
	}
	for _, c := range played.Callbacks {
		fmt.Fprintf(w, "  callback  %-18s response %d, stored as %s\n", c.Event, c.Status, strings.Join(c.IDs, ", "))
		if c.Status != http.StatusAccepted {
			return fmt.Errorf("the response to %s is %d", c.Event, c.Status)
		}
	}
	return nil
}

type message struct {
	Channel, To, Subject, Text string
}

// awaitMessages waits until the sandbox has the given number of messages.
func awaitMessages(ctx context.Context, sandbox string, due int) (messages []message, err error) {
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		if err := call(ctx, http.MethodGet, sandbox+"/api/messages", "", &messages); err != nil {
			return nil, err
		}
		if len(messages) >= due {
			return messages, nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("got %d of %d messages: %w", len(messages), due, ctx.Err())
		}
	}
}

var link = regexp.MustCompile(`https?://\S+`)

// check prints the messages and compares them with the examples.
func check(ctx context.Context, w io.Writer, messages []message, due int) error {
	fmt.Fprintf(w, "\nThe messages that the signers got:\n\n")
	var wrong []error
	for _, m := range messages {
		fmt.Fprintf(w, "  %-5s to %s\n", m.Channel, m.To)
		if m.Subject != "" {
			fmt.Fprintf(w, "        Subject: %s\n", m.Subject)
		}
		for line := range strings.Lines(m.Text) {
			fmt.Fprintf(w, "        %s\n", strings.TrimRight(line, "\r\n"))
		}
		fmt.Fprintln(w)
		for _, l := range link.FindAllString(m.Text, -1) {
			wrong = append(wrong, opens(ctx, l))
		}
	}
	if len(messages) != due {
		wrong = append(wrong, fmt.Errorf("got %d messages, want %d", len(messages), due))
	}
	for _, example := range examples {
		wrong = append(wrong, found(example, messages))
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	fmt.Fprintf(w, "All %d messages arrived, the documentation's three texts are unchanged among them, and every link opened.\n", len(messages))
	return nil
}

// remind makes the reminders due that the stories have scheduled for the third day, and prints one that arrives.
func remind(ctx context.Context, w io.Writer, cfg config.Config, sandbox string, before int) error {
	cfg, err := standalone.Reach(cfg)
	if err != nil {
		return err
	}
	js, done, err := service.OpenLog(ctx, cfg, "demo", slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer done()
	scheduled, err := reminder.All(ctx, js, "")
	if err != nil {
		return err
	}
	if len(scheduled) == 0 {
		return errors.New("no reminder is scheduled for the people who have not signed")
	}
	fmt.Fprint(w, "\nA person who has not signed is reminded after 3, 7 and 14 days. The first reminder is made due now:\n\n")
	if err := reminder.Now(ctx, js, scheduled[0]); err != nil {
		return err
	}
	messages, err := awaitMessages(ctx, sandbox, before+1)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if strings.Contains(m.Text, "is still waiting for your signature") {
			fmt.Fprintf(w, "  %-5s to %s\n        %s\n", m.Channel, m.To, strings.ReplaceAll(strings.TrimSpace(m.Text), "\n", "\n        "))
			return nil
		}
	}
	return errors.New("no reminder is among the messages")
}

func found(example *regexp.Regexp, messages []message) error {
	for _, m := range messages {
		if m.Channel == "sms" && example.MatchString(m.Text) {
			return nil
		}
	}
	return fmt.Errorf("no SMS matches %s", example)
}

// opens presses the button on the link's page, as a signer does.
func opens(ctx context.Context, link string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, link, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("a link does not open: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("a link responds with %s", resp.Status)
	}
	return nil
}

func call(ctx context.Context, method, url, body string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, req.URL.Path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
