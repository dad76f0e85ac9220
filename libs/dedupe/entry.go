package dedupe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/keyring"
)

// entries makes the names of keys in Redis, and the confirmations and epochs that are stored there. With a master key all three depend on
// it: an attacker with a password of Redis, but without the master key, can compute no name for an id and forge no confirmation.
// Without a master key they are plain, as in versions that had none.
type entries struct {
	namespace string
	keys      keyring.Keys // nil without a master key
}

// keysOf returns nil where the ring has no master key.
func keysOf(ring keyring.Ring) keyring.Keys {
	if !ring.Set() {
		return nil
	}
	return ring.For("redis")
}

const (
	// nameBytes is the number of bytes of the MAC in a key's name: 12 characters. One byte more costs 16 bytes of Redis for each callback.
	// Two of 10^8 remembered ids have the same name with a probability of 10^-6; their tags differ, so the second id is looked up in the log.
	nameBytes = 9
	// tags is the number of different tags: Redis shares the numbers below it between all keys (OBJ_SHARED_INTEGERS), so a tag costs nothing.
	tags = 10_000
	// epochBytes is the number of bytes of the MAC after an epoch.
	epochBytes = 12
)

var encoding = base64.RawURLEncoding

// mac returns the MAC of the id in its namespace.
func (e entries) mac(id string) [sha256.Size]byte { return e.keys.MAC("id " + e.namespace + ":" + id) }

// name returns the name of the id's key.
func (e entries) name(id string) string {
	if e.keys == nil {
		return e.namespace + ":" + id
	}
	mac := e.mac(id)
	return e.namespace + ":" + encoding.EncodeToString(mac[:nameBytes])
}

// confirmation returns the entry of a completed id: its tag, or, with a result, "s" and the sealed result. Without a master key it is "1" and
// the result.
func (e entries) confirmation(d Done) string {
	switch {
	case e.keys == nil:
		return "1" + string(d.Result)
	case len(d.Result) == 0:
		return e.tag(d.ID)
	default:
		return "s" + string(e.keys.Seal(d.Result, e.context(d.ID)))
	}
}

// result reads a confirmation; ok is false for an entry that confirmation did not make for this id.
func (e entries) result(id, entry string) (result []byte, ok bool) {
	if e.keys == nil {
		text, ok := strings.CutPrefix(entry, "1")
		return bytesOrNil(text), ok
	}
	if sealed, ok := strings.CutPrefix(entry, "s"); ok {
		plain, err := e.keys.Open([]byte(sealed), e.context(id))
		return plain, err == nil
	}
	return nil, hmac.Equal([]byte(entry), []byte(e.tag(id)))
}

func bytesOrNil(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

// tag returns a number that depends on the master key. A guess is right once in 10,000 times. After a wrong guess the log is read.
func (e entries) tag(id string) string {
	mac := e.mac(id)
	return strconv.FormatUint(binary.BigEndian.Uint64(mac[nameBytes:])%tags, 10)
}

func (e entries) context(id string) []byte { return []byte(e.namespace + ":" + id) }

// newEpoch returns "<last sequence of the log>@<unix seconds>". With a master key, "@" and a MAC of that follow.
func (e entries) newEpoch(last uint64, now time.Time) string {
	epoch := newEpoch(last, now)
	if e.keys == nil {
		return epoch
	}
	return epoch + "@" + e.epochMAC(epoch)
}

// epoch returns an epoch without its MAC. ok is false for an epoch that was begun with another master key or without one, and for text
// that is not an epoch.
func (e entries) epoch(text string) (epoch string, ok bool) {
	epoch = text
	if e.keys != nil {
		end := max(strings.LastIndexByte(text, '@'), 0)
		epoch = text[:end]
		if !hmac.Equal([]byte(strings.TrimPrefix(text[end:], "@")), []byte(e.epochMAC(epoch))) {
			return "", false
		}
	}
	_, _, ok = parseEpoch(epoch)
	return epoch, ok
}

func (e entries) epochMAC(epoch string) string {
	mac := e.keys.MAC("epoch " + epoch)
	return encoding.EncodeToString(mac[:epochBytes])
}
