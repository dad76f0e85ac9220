package smtp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/services/sandbox/party"
)

// message is a message while it is parsed.
type message party.Message

// maxDepth bounds the nesting of parts: alternative in related in mixed, and one more.
const maxDepth = 4

// readEmail parses a message with its MIME parts, and keeps the first plain text and the first HTML. The recipient comes from the envelope.
func readEmail(r io.Reader) (party.Message, error) {
	raw, err := mail.ReadMessage(r)
	if err != nil {
		return party.Message{}, fmt.Errorf("read header: %w", err)
	}
	words := new(mime.WordDecoder)
	email := message{Channel: event.ChannelName(event.Email), Reference: strings.Trim(raw.Header.Get("Message-Id"), "<> ")}
	if email.Subject, err = words.DecodeHeader(raw.Header.Get("Subject")); err != nil {
		return party.Message{}, fmt.Errorf("decode subject: %w", err)
	}
	from, err := (&mail.AddressParser{WordDecoder: words}).Parse(raw.Header.Get("From"))
	if err != nil {
		return party.Message{}, fmt.Errorf("read header From: %w", err)
	}
	email.From = from.Address
	if from.Name != "" {
		email.From = from.Name + " <" + from.Address + ">"
	}
	if err := email.readPart(textproto.MIMEHeader(raw.Header), raw.Body, maxDepth); err != nil {
		return party.Message{}, err
	}
	return party.Message(email), nil
}

func (m *message) readPart(header textproto.MIMEHeader, body io.Reader, depth int) error {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if header.Get("Content-Type") == "" {
		kind, err = "text/plain", nil // RFC 2045 §5.2
	}
	if err != nil {
		return fmt.Errorf("read header Content-Type: %w", err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		if depth == 0 {
			return errors.New("parts are nested too deeply")
		}
		return m.readParts(multipart.NewReader(body, params["boundary"]), depth-1)
	}

	disposition, _, _ := mime.ParseMediaType(header.Get("Content-Disposition"))
	var target *string
	switch {
	case disposition == "attachment":
	case kind == "text/plain" && m.Text == "":
		target = &m.Text
	case kind == "text/html" && m.HTML == "":
		target = &m.HTML
	}
	if target == nil {
		_, err := io.Copy(io.Discard, body) // the session continues after it
		return err
	}
	text, err := io.ReadAll(decoded(header.Get("Content-Transfer-Encoding"), body))
	if err != nil {
		return fmt.Errorf("decode a %s part: %w", kind, err)
	}
	// On the wire, every line ends with CRLF, also the last one.
	*target = strings.TrimRight(strings.ReplaceAll(strings.ToValidUTF8(string(text), "\uFFFD"), "\r\n", "\n"), "\n")
	return nil
}

func (m *message) readParts(parts *multipart.Reader, depth int) error {
	for {
		// NextRawPart, because NextPart would decode quoted-printable by itself, but not base64.
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a part: %w", err)
		}
		if err := m.readPart(part.Header, part, depth); err != nil {
			return err
		}
	}
}

func decoded(encoding string, body io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	default:
		return body
	}
}
