package esignv1

import (
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// signedHeader carries the signature of json_signed on the signed route.
const signedHeader = "X-Signed"

// digests of the signature, by webhook.digest. SHA-1 is the provider's; a forgery needs a second preimage, which SHA-1 withstands.
var digests = map[string]crypto.Hash{"": crypto.SHA1, "sha1": crypto.SHA1, "sha256": crypto.SHA256}

type webhook struct {
	source     string
	keys       []publicKey // one signs; several during a rotation of the certificate; empty if none is set
	digest     crypto.Hash
	tokens     [][sha256.Size]byte // hashed; likewise
	names      []pack.Key          // of the tokens
	unverified bool
}

func newWebhook(s config.Source) (pack.Webhook, error) {
	own := Settings.Of(s).Webhook
	digest, known := digests[own.Digest]
	if !known {
		return nil, errors.New("webhook.digest is neither sha1 nor sha256")
	}
	w := &webhook{source: s.Name, unverified: own.AllowUnverified, digest: digest}
	if own.Certificate != "" {
		keys, err := publicKeys(own.Certificate)
		if err != nil {
			return nil, fmt.Errorf("webhook.certificate: %w", err)
		}
		w.keys = keys
	}
	for i, token := range own.tokens() {
		w.tokens, w.names = append(w.tokens, sha256.Sum256([]byte(token))), append(w.names, pack.TokenKey("webhook.token", i))
	}
	if own.Token != "" && w.tokens == nil {
		return nil, errors.New("webhook.token: there is none on its lines")
	}
	if w.keys == nil && w.tokens == nil && !w.unverified {
		return nil, errors.New("nothing can authenticate its callbacks: set webhook.certificate, webhook.token, or both (or webhook.allow_unverified)")
	}
	return w, nil
}

// Verify requires the token on both routes if one is set, and a signature on the route "all" if a certificate is set. On the route "signed" the
// provider signs only some callbacks: a signature that is present must be valid.
func (w *webhook) Verify(r pack.Request) (pack.Verified, error) {
	var verified pack.Verified
	if w.tokens != nil {
		token, err := w.checkToken(r.Query["token"])
		if err != nil {
			return pack.Verified{}, fmt.Errorf("%w: %s", pack.ErrUnauthentic, err.Error())
		}
		verified = pack.Verified{By: signingv1.Verification_VERIFICATION_TOKEN, Key: token}
	}
	switch signed, err := w.VerifySignature(r); {
	case err == nil:
		return signed, nil
	case !errors.Is(err, pack.ErrUnsigned):
		return pack.Verified{}, err
	case verified != pack.Verified{}:
		return verified, nil
	case w.unverified:
		return pack.Verified{By: signingv1.Verification_VERIFICATION_NONE}, nil
	default:
		return pack.Verified{}, fmt.Errorf("%w: neither a signature nor a token", pack.ErrUnauthentic)
	}
}

// VerifySignature implements pack.Signed.
func (w *webhook) VerifySignature(r pack.Request) (pack.Verified, error) {
	if w.keys == nil {
		return pack.Verified{}, pack.ErrUnsigned
	}
	key, err := w.checkBody(r)
	switch {
	case err != nil:
		return pack.Verified{}, fmt.Errorf("%w: %s", pack.ErrUnauthentic, err.Error())
	case key == nil:
		return pack.Verified{}, pack.ErrUnsigned
	}
	return pack.Verified{By: signingv1.Verification_VERIFICATION_RSA, Key: key.name}, nil
}

// SignatureKeys implements pack.Signed.
func (w *webhook) SignatureKeys() []pack.Key {
	names := make([]pack.Key, len(w.keys))
	for i, key := range w.keys {
		names[i] = key.name
	}
	return names
}

func (w *webhook) checkToken(sent []string) (pack.Key, error) {
	if len(sent) != 1 {
		return pack.Key{}, fmt.Errorf("%d tokens in the query, want one", len(sent))
	}
	hashed := sha256.Sum256([]byte(sent[0]))
	match, which := 0, 0
	for i, token := range w.tokens {
		equal := subtle.ConstantTimeCompare(hashed[:], token[:])
		match, which = match|equal, subtle.ConstantTimeSelect(equal, i, which)
	}
	if match == 0 {
		return pack.Key{}, errors.New("the token in the query is not ours")
	}
	return w.names[which], nil
}

// checkBody checks the signature over the field that it covers, and returns the key that matched; nil if the callback has no signature and needs
// none.
func (w *webhook) checkBody(r pack.Request) (*publicKey, error) {
	form, err := readForm(r)
	switch {
	case r.Route == routeAll && err != nil:
		return nil, err
	case r.Route == routeAll:
		return w.checkAll(form)
	default:
		// A body that is not a form has no fields and so no signature; with a valid token it is quarantined.
		return w.checkSigned(form, r.Header.Values(signedHeader))
	}
}

func (w *webhook) checkAll(form url.Values) (*publicKey, error) {
	data, there, err := one(form, "data")
	if err != nil {
		return nil, err
	}
	signature, signed, err := one(form, "signed")
	if err != nil {
		return nil, err
	}
	if !there || !signed {
		return nil, errors.New("the form has no data or no signature")
	}
	return w.checkSignature(data, signature)
}

func (w *webhook) checkSigned(form url.Values, signatures []string) (*publicKey, error) {
	data, there, err := one(form, "json_signed")
	switch {
	case err != nil:
		return nil, err
	case !there || len(signatures) == 0:
		return nil, nil
	case len(signatures) > 1:
		return nil, fmt.Errorf("%d %s headers", len(signatures), signedHeader)
	}
	return w.checkSignature(data, signatures[0])
}

// Normalize reads all items of a batch in their order, or one item, or the one document that was signed. For a whole batch it fails at the
// first unreadable item.
func (w *webhook) Normalize(r pack.Request, v signingv1.Verification) ([]*signingv1.SigningEvent, error) {
	stamp := &signingv1.SigningEvent{
		Source: w.source, Provider: Name, Verification: v, ReceivedAt: timestamppb.New(r.ReceivedAt),
	}
	switch {
	case r.Item != nil:
		return normalizeItem(r, stamp)
	case r.Route == routeSigned:
		form, err := readForm(r)
		if err != nil {
			return nil, err
		}
		return normalizeSigned(form, stamp)
	default:
		return w.normalizeAll(r, stamp)
	}
}
