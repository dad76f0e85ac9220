package kafkabridge

import (
	"encoding/binary"
	"hash/crc32"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/segmentio/kafka-go"
)

// batchBytes keeps a batch below 1 MiB, the default limit of a topic. A larger event is sent alone, and the broker accepts or refuses it.
const batchBytes = 900 << 10

// The fields in front of the records of a batch, in version 2 of Kafka's format, by their offset. In a request the size of the batch comes first.
const (
	offsetSize      = 0      // of everything behind this field
	offsetLength    = 4 + 8  // also of everything behind this field
	offsetEpoch     = 4 + 12 // of the partition's leader: -1
	offsetVersion   = 4 + 16
	offsetSum       = 4 + 17 // CRC-32C of everything behind this field
	offsetLast      = 4 + 23 // the last record's offset in the batch
	offsetFirstTime = 4 + 27
	offsetLastTime  = 4 + 35
	offsetProducer  = 4 + 43 // its id, epoch and sequence: -1, because it has none
	offsetCount     = 4 + 57
	offsetRecords   = 4 + 61
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// buffers has the memory of batches that were written.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// appendBatch appends the first records as a batch that is sent at once: at most this many, and below batchBytes in total. A larger record is
// alone in its batch. It returns how many records the batch has. The records are encoded here, because the client's encoder would need
// an allocation for each header.
func appendBatch(b []byte, records []record, most int, at time.Time) (batch []byte, count int) {
	var fields [offsetRecords]byte
	binary.BigEndian.PutUint32(fields[offsetEpoch:], ^uint32(0))
	fields[offsetVersion] = 2
	binary.BigEndian.PutUint64(fields[offsetFirstTime:], uint64(at.UnixMilli()))
	binary.BigEndian.PutUint64(fields[offsetLastTime:], uint64(at.UnixMilli()))
	for n := offsetProducer; n < offsetCount; n++ {
		fields[n] = 0xff
	}
	b = append(b, fields[:]...)
	for _, r := range records[:min(most, len(records))] {
		before := len(b)
		b = appendRecord(b, r, count)
		if count > 0 && len(b) > batchBytes {
			b = b[:before]
			break
		}
		count++
	}
	binary.BigEndian.PutUint32(b[offsetSize:], uint32(len(b)-4))
	binary.BigEndian.PutUint32(b[offsetLast:], uint32(count-1))
	binary.BigEndian.PutUint32(b[offsetCount:], uint32(count))
	binary.BigEndian.PutUint32(b[offsetLength:], uint32(len(b)-offsetEpoch))
	binary.BigEndian.PutUint32(b[offsetSum:], crc32.Checksum(b[offsetSum+4:], castagnoli))
	return b, count
}

// appendRecord appends a record and its length.
func appendRecord(b []byte, r record, offset int) []byte {
	const room = binary.MaxVarintLen32
	start := len(b)
	b = append(b, make([]byte, room)...) // for the length
	b = append(b, 0, 0)                  // no attributes; the time is that of the batch
	b = binary.AppendVarint(b, int64(offset))
	b = appendText(b, r.key)
	if r.value == nil {
		b = binary.AppendVarint(b, -1) // no value
	} else {
		b = binary.AppendVarint(b, int64(len(r.value)))
		b = append(b, r.value...)
	}
	b = appendHeaders(b, r.header, r.contentType)

	body := b[start+room:]
	var length [room]byte
	n := copy(b[start:], length[:binary.PutVarint(length[:], int64(len(body)))])
	copy(b[start+n:], body)
	return b[:start+n+len(body)]
}

// appendHeaders appends the CloudEvents attributes and the trace, in the order of their names. Values are percent-encoded in NATS and plain
// UTF-8 in Kafka.
func appendHeaders(b []byte, h nats.Header, contentType string) []byte {
	var room [16]string // an event has nine
	names := room[:0]
	for name := range h {
		isAttribute := strings.HasPrefix(name, attributePrefix)
		if name == "ce-datacontenttype" || !isAttribute && name != "traceparent" && name != "tracestate" {
			continue // content-type has the same value
		}
		at := len(names)
		for names = append(names, name); at > 0 && names[at-1] > name; at-- {
			names[at] = names[at-1]
		}
		names[at] = name
	}
	b = binary.AppendVarint(b, int64(1+len(names)))
	b = appendText(b, "content-type")
	b = appendText(b, contentType)
	for _, name := range names {
		value := h.Get(name)
		attribute, isAttribute := strings.CutPrefix(name, attributePrefix)
		if !isAttribute {
			b = appendText(appendText(b, name), value)
			continue
		}
		b = binary.AppendVarint(b, int64(len(name)))
		b = append(b, "ce_"...)
		b = append(b, attribute...)
		if strings.Contains(value, "%") {
			if plain, err := url.PathUnescape(value); err == nil {
				value = plain
			}
		}
		b = appendText(b, value)
	}
	return b
}

const attributePrefix = "ce-"

// appendText appends a text and its length.
func appendText(b []byte, text string) []byte {
	return append(binary.AppendVarint(b, int64(len(text))), text...)
}

// partition returns the partition of a record. It hashes the key as Kafka's own client does. So equal keys are in equal partitions of this
// and another topic, which a consumer needs to join them.
func partition(r record, numbers []int) int {
	return kafka.Murmur2Balancer{Consistent: true}.Balance(kafka.Message{Key: []byte(r.key)}, numbers...)
}

// numbers returns the numbers of count partitions, from 0.
func numbers(count int) []int {
	all := make([]int, count)
	for n := range all {
		all[n] = n
	}
	return all
}
