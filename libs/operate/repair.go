package operate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// repaired returns a dead letter with other content. The content must be readable, keep the id of the input, and belong to the same subject, because
// the stage and the senders know the input by its id.
func repaired(l stage.DeadLetter, body []byte) (stage.DeadLetter, error) {
	refuse := func(text string) (stage.DeadLetter, error) { return l, &SelectionError{"the repaired content " + text} }
	if event.InLog(l.Subject) {
		e, err := event.Decode(body)
		switch {
		case err != nil:
			return refuse("is not an event")
		case e.GetId() != l.ID:
			return refuse("has another id: it must keep " + l.ID)
		case event.Subject(e) != l.Subject:
			return refuse("is of another source, provider, type or document")
		}
	} else {
		n, err := notification.Decode(body)
		if err != nil {
			return refuse("is not a message to a person")
		}
		if was, err := notification.Decode(l.Data); err == nil {
			switch {
			case was.GetId() != n.GetId():
				return refuse("has another id: it must keep " + was.GetId())
			case was.GetSource() != n.GetSource(), was.GetProvider() != n.GetProvider(), was.GetDocumentId() != n.GetDocumentId(), was.GetChannel() != n.GetChannel():
				return refuse("is of another source, provider, document or channel")
			}
		}
	}
	l.Data = body
	return l, nil
}

// Readable returns the content of an event or a message as JSON with one field a line, and Encoded turns it back. They are for a person who repairs a
// dead letter. It is personal data.
func Readable(subject string, data []byte) (string, error) {
	m, err := decoded(subject, data)
	if err != nil {
		return "", err
	}
	text, err := protojson.MarshalOptions{Multiline: true, Indent: "  "}.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("show the content: %w", err)
	}
	// The library writes one or two spaces after a colon, at random.
	return strings.ReplaceAll(string(text), `":  `, `": `), nil
}

// Encoded returns the content that a text of Readable describes.
func Encoded(subject, text string) ([]byte, error) {
	m, err := decoded(subject, nil)
	if err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		return nil, &SelectionError{"the repaired content is not the JSON of an event or a message: " + strings.ReplaceAll(err.Error(), "\u00a0", " ")}
	}
	return proto.Marshal(m)
}

func decoded(subject string, data []byte) (proto.Message, error) {
	if event.InLog(subject) {
		return event.Decode(data)
	}
	n := new(notifyv1.Notification)
	if err := proto.Unmarshal(data, n); err != nil {
		return nil, errors.New("not a message to a person")
	}
	return n, nil
}

// diff returns the lines in which two contents differ. Content that cannot be read is shown as its number of bytes.
func diff(subject string, before, after []byte) []string {
	lines := func(data []byte) []string {
		text, err := Readable(subject, data)
		if err != nil {
			return []string{fmt.Sprintf("%d bytes that cannot be read", len(data))}
		}
		return strings.Split(text, "\n")
	}
	return differences(lines(before), lines(after))
}

func differences(was, is []string) (all []string) {
	for _, line := range was {
		if !slices.Contains(is, line) {
			all = append(all, "- "+line)
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			all = append(all, "+ "+line)
		}
	}
	return all
}
