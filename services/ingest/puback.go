package ingest

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// readAck reads the stream's response to one message. The usual ack has a fixed form, and encoding/json takes 2 µs for it.
func readAck(data []byte) (*jetstream.PubAck, error) {
	if ack, ok := usualAck(data); ok {
		return ack, nil
	}
	var response struct {
		*jetstream.PubAck

		Error *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(data, &response); {
	case err != nil:
		return nil, jetstream.ErrInvalidJSAck
	case response.Error != nil:
		return nil, response.Error
	case response.PubAck == nil || response.Stream == "":
		return nil, jetstream.ErrInvalidJSAck
	default:
		return response.PubAck, nil
	}
}

// usualAck reads {"stream":"SIGNING","seq":12}. ok is false for any other response.
func usualAck(data []byte) (ack *jetstream.PubAck, ok bool) {
	rest, opens := bytes.CutPrefix(data, []byte(`{"stream":"`))
	stream, rest, named := bytes.Cut(rest, []byte(`","seq":`))
	digits, closes := bytes.CutSuffix(rest, []byte("}"))
	if !opens || !named || !closes || len(stream) == 0 || bytes.ContainsAny(stream, `"\\`) {
		return nil, false
	}
	sequence, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return nil, false
	}
	return &jetstream.PubAck{Stream: string(stream), Sequence: sequence}, true
}
