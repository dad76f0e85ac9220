package main

import (
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
	if e.GetType() == event.NotificationFallback {
		a := e.GetAttributes()
		text += " " + a[fallback.AttributeReason] + ", from " + a[fallback.AttributeFrom] + " to " + a[fallback.AttributeTo]
	}
	return text
}
