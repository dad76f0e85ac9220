package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/telemetry"
	"github.com/signrelay/signrelay/services/sandbox/party"
)

// visitor follows links as the browser of a person does.
type visitor struct{ client *http.Client }

func newVisitor() visitor {
	jar, _ := cookiejar.New(nil) // never fails without options
	return visitor{&http.Client{Jar: jar, Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
}

// browser is the User-Agent of a person's browser. A robot would not see the pages behind the links.
const browser = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// seen is a page as the visitor sees it, with the address of the last redirect.
type seen struct{ at, body string }

// open sends a request without a form with GET, and a form with POST, and follows redirects.
func (v visitor) open(ctx context.Context, address string, form url.Values) (seen, error) {
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return seen{}, errors.New("the link in the message is not a URL")
	}
	r.Header.Set("User-Agent", browser)
	r.Header.Set("Accept-Language", "en")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	response, err := v.client.Do(r)
	if err != nil {
		return seen{}, fmt.Errorf("a link does not open: %w", telemetry.WithoutURL(err))
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the page of a link has status %d", response.StatusCode)
	}
	return seen{response.Request.URL.String(), string(body)}, err
}

// sign opens a link and signs on the provider's page.
func (v visitor) sign(ctx context.Context, link string) error {
	p, err := v.open(ctx, link, nil)
	if err == nil && !strings.Contains(p.body, signs) { // Signrelay's button
		p, err = v.open(ctx, p.at, url.Values{})
	}
	if err == nil && !strings.Contains(p.body, signs) {
		err = errors.New("the link leads to no page on which the person can sign")
	}
	if err == nil {
		_, err = v.open(ctx, p.at, url.Values{"do": {"sign"}})
	}
	return err
}

// What the visitor finds on pages.
const (
	signs    = `name="do" value="sign"`
	corrects = `name="correct" value="save"`
	refresh  = `http-equiv="refresh"`
	done     = "The person is corrected"
)

// correct opens a link for corrections, and corrects the person.
func (v visitor) correct(ctx context.Context, link string, to party.Signer) error {
	p, err := v.open(ctx, link, nil)
	if err == nil {
		p, err = v.open(ctx, link, url.Values{}) // the button
	}
	if err == nil && !strings.Contains(p.body, corrects) {
		err = errors.New("the link leads to no form on which the sender corrects a person")
	}
	if err == nil {
		p, err = v.open(ctx, link, url.Values{
			"correct": {"save"}, "first_name": {to.First}, "last_name": {to.Last}, "email": {to.Email}, "mobile": {to.Mobile},
		})
	}
	for err == nil && strings.Contains(p.body, refresh) {
		if err = party.Wait(ctx, reload); err == nil {
			p, err = v.open(ctx, link, nil)
		}
	}
	if err == nil && !strings.Contains(p.body, done) {
		err = errors.New("the person was not corrected")
	}
	return err
}

// reload is the time between two requests for a page that waits for something. The shortener limits the requests of a client.
const reload = time.Second

// look is the time between two looks into the inbox.
const look = 20 * time.Millisecond

// within is the time in which a message must arrive. The message to a sender follows from the failure of all messages to the person.
const within = 45 * time.Second

// link waits for a message of the story that fits and has a link, and returns the link of the newest.
func (s *Server) link(ctx context.Context, began int, whose string, fits func(party.Message) bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		for _, m := range slices.Backward(s.Inbox.List("", "")) {
			if link := webLink.FindString(m.Text); m.Number > began && link != "" && fits(m) {
				return link, nil
			}
		}
		if party.Wait(ctx, look) != nil {
			return "", fmt.Errorf("no message with a link came to %s", whose)
		}
	}
}

// visit plays a step in which a person follows the link in the newest message to the person. began is the number of messages in the inbox before the
// story.
func (s *Server) visit(ctx context.Context, at *party.Provider, documents []string, next party.Step, began int) error {
	if next.Correct == nil && next.Sign == nil {
		return nil
	}
	d, ok := at.Find(documents[next.Document])
	if !ok {
		return party.ErrUnknown
	}
	to := func(who party.Signer, m party.Message) bool {
		return m.To == who.BySMS || strings.EqualFold(m.To, who.Email)
	}
	if next.Correct != nil { // by the sender, who is none of the signers
		link, err := s.link(ctx, began, "the sender of the document", func(m party.Message) bool {
			return strings.Contains(m.Text, d.Title) && !slices.ContainsFunc(d.Recipients, func(r party.Recipient) bool { return to(r.Signer, m) })
		})
		if err != nil {
			return err
		}
		return newVisitor().correct(ctx, link, *next.Correct)
	}
	link, err := s.link(ctx, began, next.Sign.Name(), func(m party.Message) bool { return strings.Contains(m.Text, d.Title) && to(*next.Sign, m) })
	if err != nil {
		return err
	}
	return newVisitor().sign(ctx, link)
}
