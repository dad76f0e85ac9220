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
	parts     []part
}

// part is a part of the store whose entries are kept or lost together. A cluster has several, so that each server has some; in a part, all
// keys have the same hash tag, so one script may use them together.
type part struct {
	tag     string // "{…}"; "" if there is one part
	epoch   string // the key of its epoch
	lineage string // the key of its lineage
}

// epochKey exists as long as this Redis has lost nothing. It is the first key written to an empty Redis. There is one for all master
// keys: see Guard. The keys of a cluster's parts begin with it.
const epochKey = "signrelay:epoch"

// tags are the hash tags of a cluster's parts. They divide the 16,384 slots evenly, so 2, 3, 4, 6 or 12 primaries have equal shares. The
// names of keys depend on them: a change of this list makes all entries unknown.
var tags = strings.Fields("lb kz yx cb zx hz mz jb wa sy nz ib")

// partsOf returns the parts of a store in one server or in a cluster.
func partsOf(cluster bool) []part {
	if !cluster {
		return []part{{epoch: epochKey, lineage: epochKey + ":lineage"}}
	}
	parts := make([]part, len(tags))
	for i, t := range tags {
		tag := "{" + t + "}"
		parts[i] = part{tag: tag, epoch: epochKey + ":" + tag, lineage: epochKey + ":lineage:" + tag}
	}
	return parts
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
	// confirmationTags is how many tags there are: Redis shares the numbers below it between all keys (OBJ_SHARED_INTEGERS), so a tag costs
	// nothing.
	confirmationTags = 10_000
	// epochBytes is how many bytes of the MAC follow an epoch or a lineage.
	epochBytes = 12
)

var encoding = base64.RawURLEncoding

// mac returns the MAC of the id in its namespace.
func (e entries) mac(id string) [sha256.Size]byte { return e.keys.MAC("id " + e.namespace + ":" + id) }

// locate returns the name of the id's key, and the index of its part.
func (e entries) locate(id string) (name string, part int) {
	if e.keys == nil {
		if len(e.parts) > 1 {
			sum := sha256.Sum256([]byte(id))
			part = int(sum[0]) % len(e.parts)
		}
		return e.namespace + ":" + e.parts[part].tag + id, part
	}
	mac := e.mac(id)
	part = int(mac[len(mac)-1]) % len(e.parts)
	return e.namespace + ":" + e.parts[part].tag + encoding.EncodeToString(mac[:nameBytes]), part
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
	return strconv.FormatUint(binary.BigEndian.Uint64(mac[nameBytes:])%confirmationTags, 10)
}

func (e entries) context(id string) []byte { return []byte(e.namespace + ":" + id) }

// newEpoch returns "<last sequence of the log>@<unix seconds>". With a master key, "@" and a MAC of that follow.
func (e entries) newEpoch(last uint64, now time.Time) string {
	return e.sign("epoch ", newEpoch(last, now))
}

// epoch returns an epoch without its MAC. ok is false for an epoch that was begun with another master key or without one, and for text
// that is not an epoch.
func (e entries) epoch(text string) (epoch string, ok bool) {
	if epoch, ok = e.verify("epoch ", text); !ok {
		return "", false
	}
	_, _, ok = parseEpoch(epoch)
	return epoch, ok
}

func (e entries) signLineage(l lineage) string { return e.sign("lineage ", l.String()) }

func (e entries) lineage(text string) (lineage, bool) {
	text, ok := e.verify("lineage ", text)
	if !ok {
		return lineage{}, false
	}
	return parseLineage(text)
}

// sign returns the text, and with a master key "@" and a MAC of that.
func (e entries) sign(purpose, text string) string {
	if e.keys == nil {
		return text
	}
	return text + "@" + e.shortMAC(purpose+text)
}

// verify returns the text without its MAC. ok is false for text that was signed with another master key or without one.
func (e entries) verify(purpose, signed string) (text string, ok bool) {
	if e.keys == nil {
		return signed, true
	}
	end := max(strings.LastIndexByte(signed, '@'), 0)
	text = signed[:end]
	return text, hmac.Equal([]byte(strings.TrimPrefix(signed[end:], "@")), []byte(e.shortMAC(purpose+text)))
}

func (e entries) shortMAC(text string) string {
	mac := e.keys.MAC(text)
	return encoding.EncodeToString(mac[:epochBytes])
}
