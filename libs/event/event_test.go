package event_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func signed() *signingv1.SigningEvent {
	return &signingv1.SigningEvent{
		Source: "acme", Provider: "clickwrap", Type: "recipient.signed",
		Document:   &signingv1.Document{Id: "596f858584281715b3493d0c"},
		Recipient:  &signingv1.Recipient{Id: "58001ea30c7ffa3111e9fa48"},
		OccurredAt: timestamppb.New(time.Date(2017, 7, 19, 16, 15, 43, 512_000_000, time.UTC)),
	}
}

// fill sets every field of a message, so that a test notices a field that code forgets.
func fill(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch text := protoreflect.ValueOfString("text of " + string(f.FullName())); {
		case f.IsMap():
			for _, key := range []string{"a", strings.Repeat("long", 50), ""} {
				m.Mutable(f).Map().Set(protoreflect.ValueOfString(key).MapKey(), protoreflect.ValueOfString(strings.Repeat(key, 3)))
			}
		case f.IsList():
			fill(m.Mutable(f).List().AppendMutable().Message())
		case f.Message() != nil:
			fill(m.Mutable(f).Message())
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, text)
		case f.Kind() == protoreflect.BytesKind:
			m.Set(f, protoreflect.ValueOfBytes([]byte("\x00\xffbytes")))
		case f.Kind() == protoreflect.BoolKind:
			m.Set(f, protoreflect.ValueOfBool(true))
		case f.Kind() == protoreflect.EnumKind:
			m.Set(f, protoreflect.ValueOfEnum(1))
		case f.Kind() == protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOfUint32(7))
		case f.Kind() == protoreflect.Uint64Kind:
			m.Set(f, protoreflect.ValueOfUint64(7))
		case f.Kind() == protoreflect.Int32Kind:
			m.Set(f, protoreflect.ValueOfInt32(7))
		case f.Kind() == protoreflect.Int64Kind:
			m.Set(f, protoreflect.ValueOfInt64(7))
		default:
			panic("fill has no value for " + f.FullName())
		}
	}
}

func TestAMessageHasEveryField(t *testing.T) {
	t.Parallel()
	e := new(signingv1.SigningEvent)
	fill(e.ProtoReflect())
	e.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 1000, protowire.BytesType), "a field of a newer version"))
	msg, err := event.Message(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := event.Decode(msg.Data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if want := proto.Size(e); len(msg.Data) != want {
		t.Errorf("%d bytes, want %d", len(msg.Data), want)
	}
}

// The callback is replaced and removed in any payload, without a change to the rest.
func TestTheCallbackOfAPayloadIsReplaced(t *testing.T) {
	t.Parallel()
	e := new(signingv1.SigningEvent)
	fill(e.ProtoReflect())
	whole := e.GetCallback()
	e.Callback = nil
	plain, err := event.Message(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	data := append([]byte(nil), plain.Data...)
	for _, c := range []*signingv1.Callback{{Id: "a"}, whole, {Id: "b", Item: proto.Uint32(0)}, whole, nil} {
		if data, err = event.SetCallback(data, c); err != nil {
			t.Fatal(err)
		}
		got, err := event.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got.GetCallback(), protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
		if rest := event.WithoutCallback(data); !bytes.Equal(rest, plain.Data) {
			t.Errorf("the rest is %q", rest)
		}
	}
	for _, damaged := range [][]byte{nil, {0xff}, {0x82, 0x01, 0x7f}, plain.Data[:len(plain.Data)-1]} {
		if got := event.WithoutCallback(damaged); !bytes.Equal(got, damaged) {
			t.Errorf("%q became %q", damaged, got)
		}
	}
}

func TestTextThatIsNotUTF8IsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*signingv1.SigningEvent){
		"a name":  func(e *signingv1.SigningEvent) { e.Attributes = map[string]string{"caf\xe9": "x"} },
		"a value": func(e *signingv1.SigningEvent) { e.Attributes = map[string]string{"x": "caf\xe9"} },
		"a field": func(e *signingv1.SigningEvent) { e.Document.Title = "caf\xe9" },
	} {
		e := signed()
		e.Id = event.TransitionID(e)
		change(e)
		if _, err := event.Message(t.Context(), e); err == nil {
			t.Errorf("%s: a message was made", name)
		}
	}
}

// Subscribers and dedupe stores keep ids, so an id must not change from release to release.
func TestIDsAreStable(t *testing.T) {
	t.Parallel()
	e := signed()
	for name, c := range map[string]struct{ got, want string }{
		"a transition":  {event.TransitionID(e), "2timo25187djgbs55hmqlbbj2g"},
		"sent again":    {event.TransitionID(e, "5a26bbf9e623117c2a6eed1b"), "cm4dhjip2oa770v7rg46b1ms08"},
		"an occurrence": {event.OccurrenceID(e, "596f85af84281715b3495147"), "s1nthl642roqok5b4he2sln00c"},
		"derived":       {event.DerivedID("0123456789abcdefghijklmnop", "enricher", "invitation/1/sms"), "rqcaegjkjbs33900l9ch284hc8"},
	} {
		if c.got != c.want {
			t.Errorf("%s: id %s, want %s", name, c.got, c.want)
		}
	}
}

func TestEachPartOfAnIDCounts(t *testing.T) {
	t.Parallel()
	base := event.TransitionID(signed())
	for name, change := range map[string]func(*signingv1.SigningEvent){
		"source":    func(e *signingv1.SigningEvent) { e.Source = "other" },
		"provider":  func(e *signingv1.SigningEvent) { e.Provider = "other" },
		"type":      func(e *signingv1.SigningEvent) { e.Type = "recipient.declined" },
		"document":  func(e *signingv1.SigningEvent) { e.Document.Id = "other" },
		"recipient": func(e *signingv1.SigningEvent) { e.Recipient.Id = "other" },
	} {
		e := signed()
		change(e)
		if event.TransitionID(e) == base {
			t.Errorf("another %s gives the same id", name)
		}
	}
	e := signed()
	e.ReceivedAt, e.ProviderEventId, e.Verification = timestamppb.Now(), "x", signingv1.Verification_VERIFICATION_RSA
	if event.TransitionID(e) != base {
		t.Error("the way in which the fact was reported changes its id")
	}
}

func TestIDPartsAreSeparated(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		c := rapid.StringN(1, 5, 20).Draw(t, "c")
		e := signed()
		if event.OccurrenceID(e, a+c, b) == event.OccurrenceID(e, a, c+b) {
			t.Fatalf("%q,%q and %q,%q give one id", a+c, b, a, c+b)
		}
	})
}

func TestHappensOnceNeedsItsSubject(t *testing.T) {
	t.Parallel()
	if !event.HappensOnce(signed()) {
		t.Error("HappensOnce is false for a signature")
	}
	unidentified := signed()
	unidentified.Recipient = nil
	if event.HappensOnce(unidentified) {
		t.Error("two signatures without a recipient would become one event")
	}
	opened := signed()
	opened.Type = "recipient.opened"
	if event.HappensOnce(opened) {
		t.Error("a document can be opened twice")
	}
}

// An id of 128 bytes, the longest that is not hashed, is 171 characters of base64url.
var legal = regexp.MustCompile(`^[A-Za-z0-9_-]{1,171}$`)

func TestDocumentTokensAreLegalAndDistinct(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"": "_", "PLSDOC19704278f8c51564ff0c707817": "PLSDOC19704278f8c51564ff0c707817",
		"_": "Xw", "a.b": "YS5i", "*": "Kg", ">": "Pg", "a b": "YSBi", "a\r\nb": "YQ0KYg",
	} {
		if got := event.DocumentToken(id); got != want {
			t.Errorf("token of %q: %q, want %q", id, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.String().Draw(t, "id")
		if token := event.DocumentToken(id); !legal.MatchString(token) {
			t.Fatalf("token of %q: %q", id, token)
		}
	})
	if token := event.DocumentToken(strings.Repeat("x", 1<<20)); !legal.MatchString(token) {
		t.Errorf("token of a huge id: %d bytes", len(token))
	}
}

func TestMessageIsACloudEventInBinaryMode(t *testing.T) {
	t.Parallel()
	e := signed()
	e.Id = event.TransitionID(e)
	msg, err := event.Message(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	want := nats.Header{
		"Nats-Msg-Id":        {e.GetId()},
		"ce-specversion":     {"1.0"},
		"ce-id":              {e.GetId()},
		"ce-source":          {"/signrelay/acme/clickwrap"},
		"ce-type":            {"signrelay.recipient.signed.v1"},
		"ce-subject":         {"596f858584281715b3493d0c"},
		"ce-time":            {"2017-07-19T16:15:43.512Z"},
		"ce-datacontenttype": {"application/protobuf"},
		"ce-dataschema":      {"urn:protobuf:signrelay.signing.v1.SigningEvent"},
	}
	if diff := cmp.Diff(want, msg.Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if want := "signing.v1.acme.clickwrap.recipient.signed.596f858584281715b3493d0c"; msg.Subject != want {
		t.Errorf("subject %s, want %s", msg.Subject, want)
	}
	back, err := event.Decode(msg.Data)
	if err != nil || !proto.Equal(back, e) {
		t.Errorf("payload reads back as %v, %v", back, err)
	}
}

// A retry arrives later and is the same fact: no header of it may differ.
func TestTheTimeOfArrivalIsInNoHeader(t *testing.T) {
	t.Parallel()
	var first nats.Header
	for _, at := range []time.Time{time.Unix(1, 0), time.Unix(2, 0)} {
		e := signed()
		e.OccurredAt, e.ReceivedAt = nil, timestamppb.New(at)
		e.Id = event.TransitionID(e)
		msg, err := event.Message(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = msg.Header
		}
		if diff := cmp.Diff(first, msg.Header); diff != "" || msg.Header.Get("ce-time") != "" {
			t.Errorf("ce-time %q; headers differ:\n%s", msg.Header.Get("ce-time"), diff)
		}
	}
}

func TestAHostileDocumentIDStaysInItsHeader(t *testing.T) {
	t.Parallel()
	e := signed()
	e.Document.Id = "x\r\nce-id: forged\"%\u00e9"
	e.Id = event.TransitionID(e)
	msg, err := event.Message(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := msg.Header.Get("ce-subject"), "x%0D%0Ace-id:%20forged%22%25%C3%A9"; got != want {
		t.Errorf("ce-subject %q, want %q", got, want)
	}
}

func TestEventWithoutAnIDIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := event.Message(t.Context(), signed()); err == nil {
		t.Error("an event without an id became a message")
	}
}
