package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// `documents` finds what the console's page finds. Without --private it prints no name, address, number or title, and finds no piece of them.
func TestDocumentsAreFound(t *testing.T) {
	t.Parallel()
	url, publish := stored(t)
	store := func(id, source, title string, eventType string, who *signingv1.Recipient) {
		e := &signingv1.SigningEvent{
			Id: id + eventType, Source: source, Provider: "clickwrap", Type: eventType, OccurredAt: timestamppb.Now(),
			Verification: signingv1.Verification_VERIFICATION_HMAC, Document: &signingv1.Document{Id: id, Title: title}, Recipient: who,
		}
		m, err := event.Message(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		publish(m)
	}
	wilson := &signingv1.Recipient{Id: "p1", FirstName: "Jack", LastName: "Wilson", Email: "jack.wilson@example.com", Mobile: "+61491570156"}
	store("PLSDOC-one", "onboarding", "Contract of Sale", event.DocumentSent, nil)
	store("PLSDOC-one", "onboarding", "", event.RecipientSent, wilson)
	store("PLSDOC-two", "legal", "Lease", event.DocumentSent, nil)
	store("PLSDOC-two", "legal", "", event.DocumentCompleted, nil)
	at := "sqlite://" + filepath.ToSlash(filepath.Join(t.TempDir(), "index.db"))
	runOne(t, url, "index", "rebuild", "--index.url", at)
	for line, want := range map[string]string{
		"": "two one", "--source legal": "two", "--provider pleasesign": "", "--state completed": "two", "--state waiting --since 24h": "one", "--until 24h": "",
		"PLSDOC-two": "two", "--untold": "", "--stuck": "", "--limit 1": "two",
		"wil": "", "--private wil": "one", "--private contract sale": "one", "lease": "", "jack.wilson@example.com": "one", "+61491570156": "one", "0491570156": "one", "570156": "",
		"--private 570156": "one",
	} {
		for _, asJSON := range []bool{false, true} {
			args := append([]string{"documents", "--index.url", at, "--json=" + strconv.FormatBool(asJSON)}, strings.Fields(line)...)
			var out, errs bytes.Buffer
			if status := dispatch(t.Context(), args, nil, os.Stdin, &out, &errs); status != 0 {
				t.Errorf("%q: status %d: %s", line, status, errs.String())
			}
			var found []string
			for text := range strings.Lines(out.String()) {
				_, id, _ := strings.Cut(text, "PLSDOC-")
				if asJSON {
					var d struct{ ID string }
					if err := json.Unmarshal([]byte(text), &d); err != nil {
						t.Errorf("%q: %v: %s", line, err, text)
					}
					id = strings.TrimPrefix(d.ID, "PLSDOC-")
				}
				found = append(found, id[:min(len(id), 3)])
			}
			if got := strings.Join(found, " "); got != want {
				t.Errorf("%q: found %q, want %q", line, got, want)
			}
			if want == "" && errs.String() != "No documents match\n" {
				t.Errorf("%q: %q", line, errs.String())
			}
			private := strings.Contains(line, "--private")
			for _, secret := range []string{"Wilson", "example.com", "570156", "Contract of Sale"} {
				if shown := strings.Contains(out.String()+errs.String(), secret); shown && !private || private && asJSON && !shown {
					t.Errorf("%q: %q is shown: %v\n%s%s", line, secret, shown, out.String(), errs.String())
				}
			}
		}
	}
}

func TestDocumentsWithoutAnIndex(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args    []string
		environ []string
		want    string
	}{
		"no file":  {[]string{"--index.url", "sqlite://" + filepath.ToSlash(t.TempDir()) + "/index.db"}, nil, "There is no index yet"},
		"disabled": {[]string{"--index.disabled"}, nil, "set index.url"},
		"away":     {nil, []string{"SIGNRELAY_INDEX_URL=postgres://nobody@127.0.0.1:1/none"}, "The index does not answer"},
	} {
		var out bytes.Buffer
		if status := dispatch(t.Context(), append([]string{"documents"}, c.args...), c.environ, os.Stdin, &out, &out); status != 1 || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: status %d: %s", name, status, out.String())
		}
	}
}
