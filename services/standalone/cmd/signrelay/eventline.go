package main

import (
	"flag"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/fallback"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/printable"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// eventFlags adds the flags of a command that shows events.
func eventFlags(fs *flag.FlagSet) {
	jsonFlag(fs)
	fs.Bool("callbacks", false, "with --json, print also the provider's requests: query, headers and body, in base64")
}

// withoutRequest removes the content of the callback that e carries. Its id and its key stay.
func withoutRequest(e *signingv1.SigningEvent) {
	if c := e.GetCallback(); c != nil {
		c.Query, c.Headers, c.Body = "", nil, nil
	}
}

func (c *call) showData(data []byte) error {
	e, err := event.Decode(data)
	if err != nil {
		return err
	}
	return c.show(e)
}

// show prints one event. A command's own columns follow the time. The line names no person, because people share their screens. An id that
// looks like an address, a number or a name is printed as its hash. --json prints everything.
func (c *call) show(e *signingv1.SigningEvent, columns ...string) error {
	if c.json() {
		if !value[bool](c, "callbacks") {
			withoutRequest(e)
		}
		line, err := protojson.Marshal(e)
		if err != nil {
			return fmt.Errorf("event %s as JSON: %w", e.GetId(), err)
		}
		_, err = fmt.Fprintf(c.stdout, "%s\n", printable.JSON(line))
		return err
	}
	document := event.Public(e.GetDocument().GetId())
	if document == "" {
		document = "-"
	}
	columns = append([]string{event.Time(e).UTC().Format(time.RFC3339)}, columns...)
	return c.say("%s  %-24s  %-22s  %-34s  %s%s",
		strings.Join(columns, "  "), e.GetType(), e.GetSource()+"/"+e.GetProvider(), document, e.GetId(), detail(e))
}

// orderDetail returns by whom and why a person was corrected or invited again, and what became of it. The provider's explanation may name the person.
func orderDetail(e *signingv1.SigningEvent) (text string) {
	a := e.GetAttributes()
	switch e.GetType() {
	case event.RecipientCorrected:
		text = " scope=" + a[event.AttributeScope]
		if a[event.AttributePrevious] != "" {
			text += " previous=" + event.Public(a[event.AttributePrevious])
		}
		return text
	case event.CorrectionRefused, event.ResendRefused:
		return " reason=" + a[event.AttributeReason]
	case event.CorrectionRequested, event.ResendRequested:
		if a[event.AttributeChannels] != "" {
			text = " channels=" + a[event.AttributeChannels]
		}
		return text + " by=" + a[event.AttributeBy] + ": " + a[event.AttributeReason]
	default:
		return ""
	}
}

func detail(e *signingv1.SigningEvent) string {
	var text string
	if id := e.GetRecipient().GetId(); id != "" {
		text += "  recipient=" + event.Public(id)
	}
	if n := e.GetNotice(); n != nil {
		text += "  " + n.GetKind() + "/" + n.GetChannel()
		if n.GetReason() != "" {
			text += " reason=" + n.GetReason()
		}
		if until := e.GetAttributes()[notification.AttributeUntil]; until != "" && e.GetType() == event.NotificationDeferred {
			text += " until=" + until
		}
		if n.GetPossibleDuplicate() {
			text += " possible-duplicate"
		}
	}
	if event.Entity(e.GetType()) == event.EntityReminder {
		a := e.GetAttributes()
		text += " number=" + a["number"] + " due=" + a["due"]
		if a["reason"] != "" {
			text += " reason=" + a["reason"]
		}
	}
	text += orderDetail(e)
	if e.GetType() == event.NotificationFallback {
		a := e.GetAttributes()
		text += " " + a[fallback.AttributeReason] + ", from " + a[fallback.AttributeFrom] + " to " + a[fallback.AttributeTo]
	}
	return text
}
