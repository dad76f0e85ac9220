package clickwrap

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// paste lists the fields of the page of a webhook. Clickwrap has no API for them.
func paste(src config.Source, address string) []pack.Pasted {
	fields := []pack.Pasted{{Field: "URL", Value: address}, {Field: "HTTP method", Value: "POST, with JSON"}, {Field: "Events", Value: "all"}}
	secrets := Settings.Of(src).Webhook.Secrets
	if last := len(secrets) - 1; last >= 0 {
		fields = append(fields, pack.Pasted{Field: "Secret code", Value: secrets[last], Setting: "webhook.secrets[" + strconv.Itoa(last) + "]"})
	}
	return fields
}

// test makes the callback of Clickwrap's button "Test".
func test(src config.Source, at pack.Test) ([]pack.Request, error) {
	secrets := Settings.Of(src).Webhook.Secrets
	if len(secrets) == 0 {
		return nil, errors.New("webhook.secrets: no token to send")
	}
	body, err := json.Marshal(map[string]any{
		"type": "webhook", "event_type": "test_event", "id": at.ID, "created_time": at.Now.UTC().Format(time.RFC3339Nano), "description": "Signrelay sent a test event",
	})
	if err != nil {
		return nil, err
	}
	return []pack.Request{{
		Method: http.MethodPost, Body: body, ReceivedAt: at.Now,
		Header: http.Header{"Content-Type": {"application/json"}, authHeader: {secrets[len(secrets)-1]}},
	}}, nil
}
