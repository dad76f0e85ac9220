package index

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
)

// A block is a range of 2^17 numbers. With ten events a document it has 13,000 documents, and an index of 10^7 events has 77 blocks. A term's
// postings in a block are one row.
const (
	blockBits = 17
	blockSize = 1 << blockBits
)

func blockOf(number uint64) int64   { return int64(number >> blockBits) } // sequences are far below 2^63
func offsetOf(number uint64) uint32 { return uint32(number & (blockSize - 1)) }
func numberOf(block int64, offset uint32) uint64 {
	return uint64(block)<<blockBits | uint64(offset) // blockOf made it
}

// encode returns sorted offsets as the varints of their differences: one byte for a term that most documents have.
func encode(offsets []uint32) []byte {
	data := make([]byte, 0, len(offsets)+8)
	before := uint32(0)
	for _, o := range offsets {
		data = binary.AppendUvarint(data, uint64(o-before))
		before = o
	}
	return data
}

var errPostings = errors.New("the postings of a term are damaged: run `signrelay index rebuild`")

// each calls do for each offset of encoded postings.
func each(data []byte, do func(offset uint32)) error {
	at := uint64(0)
	for len(data) > 0 {
		d, n := uint64(data[0]), 1
		if d >= 0x80 {
			d, n = binary.Uvarint(data)
		}
		if at += d; n <= 0 || at >= blockSize {
			return errPostings
		}
		data = data[n:]
		do(uint32(at))
	}
	return nil
}

// change returns postings with some offsets added and some removed.
func change(data []byte, add, remove []uint32) ([]byte, error) {
	all := make([]uint32, 0, len(data)+len(add))
	if err := each(data, func(o uint32) { all = append(all, o) }); err != nil {
		return nil, err
	}
	if len(remove) > 0 {
		slices.Sort(remove)
		all = slices.DeleteFunc(all, func(o uint32) bool { _, is := slices.BinarySearch(remove, o); return is })
	}
	if len(add) > 0 {
		all = append(all, add...)
		slices.Sort(all)
		all = slices.Compact(all)
	}
	return encode(all), nil
}

// set is a set of the offsets of a block.
type set [blockSize / 64]uint64

func (s *set) add(o uint32)      { s[o/64] |= 1 << (o % 64) }
func (s *set) remove(o uint32)   { s[o/64] &^= 1 << (o % 64) }
func (s *set) has(o uint32) bool { return s[o/64]&(1<<(o%64)) != 0 }

func (s *set) empty() bool { return *s == set{} }

func (s *set) and(other *set) {
	for i := range s {
		s[i] &= other[i]
	}
}

func (s *set) or(other *set) {
	for i := range s {
		s[i] |= other[i]
	}
}

// offsets returns the offsets in their order.
func (s *set) offsets() []uint32 {
	all := make([]uint32, 0, 64)
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			all = append(all, uint32(i*64+bits.TrailingZeros64(w))) // below 2^17
		}
	}
	return all
}

// keep removes the offsets outside [from, to).
func (s *set) keep(from, to uint32) {
	for o := range s {
		low, high := uint32(o*64), uint32(o*64+64) // below 2^17
		switch {
		case high <= from || low >= to:
			s[o] = 0
		case low < from || high > to:
			for i := low; i < high; i++ {
				if i < from || i >= to {
					s.remove(i)
				}
			}
		}
	}
}

// deltas are the changes of postings that a transaction makes.
type deltas map[int64]map[string]*delta

type delta struct{ add, remove []uint32 }

func (d deltas) at(block int64, term string) *delta {
	terms := d[block]
	if terms == nil {
		terms = map[string]*delta{}
		d[block] = terms
	}
	c := terms[term]
	if c == nil {
		c = new(delta)
		terms[term] = c
	}
	return c
}

func (d deltas) add(number uint64, term string) {
	c := d.at(blockOf(number), term)
	if o := offsetOf(number); len(c.add) == 0 || c.add[len(c.add)-1] != o {
		c.add = append(c.add, o)
	}
}

func (d deltas) remove(number uint64, term string) {
	c := d.at(blockOf(number), term)
	if o := offsetOf(number); len(c.remove) == 0 || c.remove[len(c.remove)-1] != o {
		c.remove = append(c.remove, o)
	}
}
