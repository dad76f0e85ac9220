package shortener

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// link is what stands behind a short link, as the bucket keeps it.
type link struct {
	Target    string `json:"target"` // a secret
	Source    string `json:"source"`
	Provider  string `json:"provider"`
	Document  string `json:"document"`
	Recipient string `json:"recipient"`
	Purpose   string `json:"purpose"`
	Kind      string `json:"kind"` // of the first message that carried it
}

func linkOf(n *notifyv1.Notification, target *url.URL) link {
	return link{
		Target: target.String(), Source: n.GetSource(), Provider: n.GetProvider(),
		Document: n.GetDocumentId(), Recipient: n.GetTo().GetRecipientId(),
		Purpose: notification.PurposeName(n.GetLink().GetPurpose()), Kind: notification.KindName(n.GetKind()),
	}
}

// book is the bucket of short links. Each link has two entries: code.<code> has the link, and pair.<hash> the code that
// was given to this person for this purpose and target, so that whoever asks again gets the same one.
type book struct {
	bucket jetstream.KeyValue
}

// codeLength is 14 characters of 5 bits, all from crypto/rand: 70 bits, so that nobody finds a link by trying. The
// letters a-z and digits 2-7 are what a phone's keyboard gives without a shift, and none looks like another.
const codeLength = 14

// code returns the one code of l; it makes it where there is none yet. Of two replicas that make one at the same time the
// first to enter the pair wins, and both return the winner's.
func (b book) code(ctx context.Context, l link) (string, error) {
	pair := "pair." + l.pair()
	given, err := b.bucket.Get(ctx, pair)
	if err == nil {
		return string(given.Value()), nil
	}
	if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return "", fmt.Errorf("look for a short link: %w", err)
	}

	// The code's entry comes first: a pair must never lead to a code that nothing stands behind. What a crash between
	// the two leaves behind is a code that nobody was told.
	record, err := json.Marshal(l)
	if err != nil {
		return "", fmt.Errorf("encode a link: %w", err)
	}
	code := strings.ToLower(rand.Text()[:codeLength])
	if _, err := b.bucket.Create(ctx, "code."+code, record); err != nil {
		return "", fmt.Errorf("store a short link: %w", err)
	}
	_, err = b.bucket.Create(ctx, pair, []byte(code))
	if errors.Is(err, jetstream.ErrKeyExists) {
		return b.otherCode(ctx, pair, code)
	}
	if err != nil {
		return "", fmt.Errorf("store whose short link it is: %w", err)
	}
	return code, nil
}

// otherCode returns the code that somebody else entered first, and forgets ours.
func (b book) otherCode(ctx context.Context, pair, ours string) (string, error) {
	given, err := b.bucket.Get(ctx, pair)
	if err != nil {
		return "", fmt.Errorf("read the short link that another made: %w", err)
	}
	code := string(given.Value())
	if code != ours { // it is ours where only the answer to its entry was lost
		_ = b.bucket.Purge(ctx, "code."+ours) // what stays behind was told to nobody, and ages out
	}
	return code, nil
}

// errUnknown means that no link has that code.
var errUnknown = errors.New("no such link")

// open returns the link behind a code, or errUnknown.
func (b book) open(ctx context.Context, code string) (link, error) {
	if !wellFormed(code) {
		return link{}, errUnknown
	}
	entry, err := b.bucket.Get(ctx, "code."+code)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return link{}, errUnknown
	}
	if err != nil {
		return link{}, fmt.Errorf("read a short link: %w", err)
	}
	var l link
	if err := json.Unmarshal(entry.Value(), &l); err != nil {
		return link{}, fmt.Errorf("decode a short link: %w", err)
	}
	return l, nil
}

// wellFormed spares the bucket what cannot be a code; some of it is no legal key either.
func wellFormed(code string) bool {
	return len(code) == codeLength && strings.Trim(code, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// pair is the hash of whom and what the link is for. It is a legal key whatever the provider's ids look like, and it
// tells nothing of the target.
func (l link) pair() string {
	h := sha256.New()
	for _, part := range []string{l.Source, l.Provider, l.Document, l.Recipient, l.Purpose, l.Target} {
		fmt.Fprintf(h, "%q,", part) // quoted: ("ab","c") and ("a","bc") differ
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
