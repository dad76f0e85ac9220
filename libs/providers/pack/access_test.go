package pack_test

import (
	"errors"
	"testing"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

func TestClosed(t *testing.T) {
	t.Parallel()
	const sign, download = pack.Sign, pack.Download
	for name, tt := range map[string]struct {
		status  pack.Status
		person  pack.Recipient
		purpose pack.Purpose
		want    pack.NotOpen
	}{
		"to sign":                  {pack.StatusOpen, pack.Recipient{ID: "R"}, sign, ""},
		"to sign beside others":    {pack.StatusOpen, pack.Recipient{ID: "R", Order: 1}, sign, ""},
		"to sign after others":     {pack.StatusOpen, pack.Recipient{ID: "R", Order: 2}, sign, pack.NotYet},
		"to sign, status unknown":  {pack.StatusUnknown, pack.Recipient{ID: "R"}, sign, ""},
		"has signed":               {pack.StatusOpen, pack.Recipient{ID: "R", Signed: true}, sign, pack.AlreadySigned},
		"has signed out of turn":   {pack.StatusOpen, pack.Recipient{ID: "R", Signed: true, Order: 2}, sign, pack.AlreadySigned},
		"completed":                {pack.StatusCompleted, pack.Recipient{ID: "R"}, sign, pack.AlreadySigned},
		"declined":                 {pack.StatusOpen, pack.Recipient{ID: "R", Declined: true}, sign, pack.Ended},
		"declined by others":       {pack.StatusDeclined, pack.Recipient{ID: "R"}, sign, pack.Ended},
		"voided":                   {pack.StatusVoided, pack.Recipient{ID: "R", Signed: true}, sign, pack.Ended},
		"expired":                  {pack.StatusExpired, pack.Recipient{ID: "R"}, sign, pack.Ended},
		"another person":           {pack.StatusOpen, pack.Recipient{ID: "S"}, sign, pack.Gone},
		"no recipient":             {pack.StatusOpen, pack.Recipient{}, sign, pack.Gone},
		"to download":              {pack.StatusCompleted, pack.Recipient{ID: "R", Signed: true}, download, ""},
		"to download too early":    {pack.StatusOpen, pack.Recipient{ID: "R", Signed: true}, download, pack.NotYet},
		"to download, unknown":     {pack.StatusUnknown, pack.Recipient{ID: "R", Signed: true}, download, pack.NotYet},
		"to download, never":       {pack.StatusDeclined, pack.Recipient{ID: "R", Signed: true}, download, pack.Ended},
		"to download by strangers": {pack.StatusCompleted, pack.Recipient{ID: "S"}, download, pack.Gone},
	} {
		d := &pack.Document{Status: tt.status, Recipients: []pack.Recipient{{ID: "1", Signed: true}, {ID: "2", Order: 1}, tt.person}}
		who := "R"
		if tt.person.ID == "" {
			who = "" // a link without a recipient matches no person on the document
		}
		err := d.Closed(pack.Link{Document: "D", Recipient: who, Purpose: tt.purpose})
		var not *pack.NotOpenError
		if (err == nil) != (tt.want == "") || (err != nil && (!errors.As(err, &not) || not.Reason != tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
