package ingest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

func TestReadAck(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*jetstream.PubAck{
		`{"stream":"SIGNING","seq":12}`:                                  {Stream: "SIGNING", Sequence: 12},
		`{"stream":"SIGNING","seq":12,"duplicate":true}`:                 {Stream: "SIGNING", Sequence: 12, Duplicate: true},
		`{"stream":"SIGNING", "seq":12,"duplicate": true}`:               {Stream: "SIGNING", Sequence: 12, Duplicate: true},
		`{"stream":"SIGNING","domain":"hub","seq":18446744073709551615}`: {Stream: "SIGNING", Domain: "hub", Sequence: 1<<64 - 1},
		`{"stream":"A\u0042","seq":1}`:                                   {Stream: "AB", Sequence: 1},
		`{"stream":"","seq":1}`:                                          nil,
		`{"seq":1}`:                                                      nil,
		`{"stream":"SIGNING","seq":}`:                                    nil,
		`{"stream":"SIGNING","seq":-1}`:                                  nil,
		`{"stream":"SIGNING","seq":1`:                                    nil,
		`+OK`:                                                            nil,
		``:                                                               nil,
	} {
		got, err := readAck([]byte(text))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		if (err == nil) != (want != nil) {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, err := readAck([]byte(`{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"SIGNING","seq":0}`))
	if refusal := new(jetstream.APIError); !errors.As(err, &refusal) || refusal.ErrorCode != 10077 {
		t.Errorf("%v", err)
	}
}
