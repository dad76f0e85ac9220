package document_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/outcome"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

var (
	// oliver is Olivia after a correction at a provider that gives the person another id.
	oliver = &signingv1.Recipient{Id: "r-oliver", FirstName: "Oliver", LastName: "Nguyen", Email: "oliver.nguyen@example.com", Mobile: "+61491570157"}
	// olivier is Olivia after a correction for the messages of Signrelay.
	olivier = &signingv1.Recipient{Id: "r-olivia", FirstName: "Olivier", LastName: "Nguyen", Email: "olivier.nguyen@example.com"}
)

// ordered adds an order of an operator about a person.
func ordered(eventType string, who *signingv1.Recipient, attributes map[string]string) step {
	return func(s *story) {
		own(eventType, who, attributes)(s)
		e := s.events[len(s.events)-1].Event
		e.Attributes = map[string]string{"by": "mara", "reason": "ticket 7"}
		for name, value := range attributes {
			e.Attributes[name] = value
		}
		s.cause = e.GetId()
	}
}

// answered adds the outcome of the last order, with the time of the order.
func answered(eventType string, who *signingv1.Recipient, attributes map[string]string) step {
	return func(s *story) {
		var order *signingv1.SigningEvent
		for _, o := range s.events {
			if typ := o.Event.GetType(); typ == event.CorrectionRequested || typ == event.ResendRequested {
				order = o.Event
			}
		}
		own(eventType, who, attributes)(s)
		e := s.events[len(s.events)-1].Event
		e.OccurredAt = order.GetOccurredAt()
		if eventType == event.RecipientCorrected {
			e.Recipient = proto.CloneOf(who)
			s.sent = e.GetId()
		}
		e.Attributes = map[string]string{"order": order.GetId()}
		for name, value := range attributes {
			e.Attributes[name] = value
		}
		if eventType == event.RecipientCorrected {
			s.cause = e.GetId()
		}
	}
}

func askedToCorrect() step { return ordered(event.CorrectionRequested, olivia, nil) }

func corrected(to *signingv1.Recipient) step {
	return func(s *story) {
		askedToCorrect()(s)
		attributes := map[string]string{"scope": event.AtProvider, "previous": olivia.GetId()}
		if to.GetId() == olivia.GetId() {
			attributes = map[string]string{"scope": event.OwnMessages, "previous_email": olivia.GetEmail(), "previous_mobile": olivia.GetMobile()}
		}
		answered(event.RecipientCorrected, to, attributes)(s)
	}
}

var undelivered = []step{
	sent(), reported(event.RecipientSent, olivia), lost(olivia, "invitation", "number-deactivated", outcome.Recipient),
	reported(event.RecipientUndeliverable, olivia), pass(time.Hour),
}

func after(steps ...step) []step { return append(slices.Clone(undelivered), steps...) }

// A correction ends the complaint about the old address, and the person's story goes on under the new name and id.
func TestCorrectedPeople(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps    []step
		name, id string
		state    document.PersonState
		untold   int
		sentence string
		next     string // the first one
	}{
		"before": {
			undelivered, "Olivia Nguyen", "r-olivia", document.NotTold, 1, "Olivia Nguyen has not signed, and the invitation by text did not arrive.", "Olivia Nguyen gets the completion message with a link to the signed file",
		},
		"the order waits": {
			after(askedToCorrect()), "Olivia Nguyen", "r-olivia", document.NotTold, 1, "Olivia Nguyen has not signed, and the invitation by text did not arrive.", "Olivia Nguyen is corrected, and then invited again",
		},
		"the order was given up": {
			after(askedToCorrect(), func(s *story) {
				s.facts.Dead = []document.DeadLetter{{Stage: "enricher", Event: s.cause, Person: "r-olivia", Reason: "bad-credentials", Fault: "operator"}}
			}), "Olivia Nguyen", "r-olivia", document.NotTold, 1, "Olivia Nguyen has not signed, and the invitation by text did not arrive.",
			"Olivia Nguyen gets the completion message with a link to the signed file",
		},
		"refused": {
			after(askedToCorrect(), answered(event.CorrectionRefused, olivia, map[string]string{"reason": "refused"})), "Olivia Nguyen", "r-olivia", document.NotTold, 1,
			"Olivia Nguyen has not signed, and the invitation by text did not arrive.", "Olivia Nguyen gets the completion message with a link to the signed file",
		},
		"at the provider": {
			after(corrected(oliver)), "Oliver Nguyen", "r-oliver", document.NotYet, 0, "Oliver Nguyen has not signed, and was not asked to sign yet.", "Oliver Nguyen gets the completion message with a link to the signed file",
		},
		"for our messages": {
			after(corrected(olivier)), "Olivier Nguyen", "r-olivia", document.NotYet, 0, "Olivier Nguyen has not signed, and was not asked to sign yet.", "Olivier Nguyen gets the completion message with a link to the signed file",
		},
		"invited again by us": {
			after(corrected(olivier), handed(olivier, "invitation", "email")), "Olivier Nguyen", "r-olivia", document.Told, 0,
			"Olivier Nguyen has not signed, and was notified by e-mail; no person has opened the link.", "Olivier Nguyen gets the completion message with a link to the signed file",
		},
		"invited again by the provider": {
			after(corrected(oliver), reported(event.RecipientSent, oliver)), "Oliver Nguyen", "r-oliver", document.Told, 0,
			"Oliver Nguyen has not signed, and was notified by e-mail; no person has opened the link.", "Oliver Nguyen gets the completion message with a link to the signed file",
		},
		"not reached either": {
			after(corrected(oliver), reported(event.RecipientSent, oliver), reported(event.RecipientUndeliverable, oliver)), "Oliver Nguyen", "r-oliver", document.NotTold, 1,
			"Oliver Nguyen has not signed, and the invitation by e-mail did not arrive.", "Oliver Nguyen gets the completion message with a link to the signed file",
		},
		"the old id is reported late": {
			after(corrected(oliver), reported(event.RecipientSent, oliver), reported(event.RecipientUndeliverable, olivia), reported(event.RecipientOpened, olivia)), "Oliver Nguyen", "r-oliver", document.Told, 0,
			"Oliver Nguyen has not signed, and was notified by e-mail; no person has opened the link.", "Oliver Nguyen gets the completion message with a link to the signed file",
		},
		"the new id is reported before": {
			after(askedToCorrect(), reported(event.RecipientSent, oliver), answered(event.RecipientCorrected, oliver, map[string]string{"scope": event.AtProvider, "previous": "r-olivia"})), "Oliver Nguyen", "r-oliver",
			document.Told, 0, "Oliver Nguyen has not signed, and was notified by e-mail; no person has opened the link.", "Oliver Nguyen gets the completion message with a link to the signed file",
		},
		"the provider reports the old address": {
			after(corrected(olivier), handed(olivier, "invitation", "email"), openedAt(olivia)), "Olivier Nguyen", "r-olivia", document.OpenedState, 0,
			"Olivier Nguyen has not signed, was notified by e-mail, and opened the document just now.", "Olivier Nguyen gets the completion message with a link to the signed file",
		},
		"a stranger opted out before": {
			after(clicked(olivia), own(event.RecipientOptedOut, olivia, map[string]string{"channel": "all"}), pass(time.Minute), corrected(oliver)), "Oliver Nguyen", "r-oliver", document.NotYet, 0,
			"Oliver Nguyen has not signed, and was not asked to sign yet.", "Oliver Nguyen gets the completion message with a link to the signed file",
		},
		"a message for the old address was stopped": {
			after(corrected(oliver), reported(event.RecipientSent, oliver), suppressed(olivia, "reminder", "email", "corrected")), "Oliver Nguyen", "r-oliver", document.Told, 0,
			"Oliver Nguyen has not signed, and was notified by e-mail; no person has opened the link.", "Oliver Nguyen gets the completion message with a link to the signed file",
		},
		"the provider wrote once more": {
			after(ordered(event.ResendRequested, olivia, map[string]string{"channels": event.ByProvider}), pass(time.Second), answered(event.RecipientResent, olivia, nil)), "Olivia Nguyen", "r-olivia", document.Told, 1,
			"Olivia Nguyen has not signed, and the invitation by text did not arrive.", "Olivia Nguyen gets the completion message with a link to the signed file",
		},
		"signed": {
			after(corrected(oliver), reported(event.RecipientSent, oliver), signed(oliver), completed()), "Oliver Nguyen", "r-oliver", document.SignedState, 0,
			"Oliver Nguyen has signed.", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := play(t, "pleasesign", c.steps...)
			d := s.document()
			if len(d.People) != 1 {
				t.Fatalf("%d people: %+v", len(d.People), d.People)
			}
			p := &d.People[0]
			if p.FullName() != c.name || p.ID != c.id || p.State != c.state || d.Untold != c.untold {
				t.Errorf("%s %s is %s, %d untold", p.FullName(), p.ID, p.State, d.Untold)
			}
			ex := document.Explain(d, s.events, s.facts, s.now)
			if ex.Sentence != c.sentence {
				t.Errorf("sentence %q", ex.Sentence)
			}
			next := ""
			if len(ex.Next) > 0 {
				next = ex.Next[0].Text
			}
			if next != c.next {
				t.Errorf("next %q", next)
			}
			copyRules(t, ex)
			masked := d.Masked()
			hidden := document.Explain(masked, s.events, s.facts, s.now)
			copyRules(t, hidden)
			noPersonalData(t, s.events, masked, hidden)
			if strings.Contains(hidden.Sentence, "Signer 2") || strings.Contains(ex.Sentence, "Signer") {
				t.Errorf("masked: %q", hidden.Sentence)
			}
		})
	}
}

// Each order and each outcome has a line in the timeline, which says by whom, why and what. A masked one has no free text.
func TestCorrectionsInTheTimeline(t *testing.T) {
	t.Parallel()
	s := play(t, "pleasesign", after(
		own(event.LinkFetched, olivia, map[string]string{"client": "proofpoint", "purpose": "correct"}), own(event.LinkOpened, olivia, map[string]string{"certainty": "clicked", "purpose": "correct"}),
		ordered(event.CorrectionRequested, olivia, map[string]string{"by": event.BySender, "reason": "no message reached the person"}),
		answered(event.CorrectionRefused, olivia, map[string]string{"reason": "refused", "message": "oliver.nguyen@example.com is blocked"}),
		ordered(event.ResendRequested, olivia, map[string]string{"channels": event.ByProvider}), answered(event.ResendRefused, olivia, map[string]string{"reason": "provider-silent"}),
		corrected(oliver), ordered(event.ResendRequested, oliver, map[string]string{"channels": event.ByProvider}), answered(event.RecipientResent, oliver, nil),
		reminder(event.ReminderCancelled, olivia, 1, 3*day, "corrected"), suppressed(olivia, "invitation", "sms", "corrected"),
	)...)
	d := s.document()
	if opened := d.People[0].Opened; !opened.At.IsZero() || opened.Robots > 0 {
		t.Errorf("the sender's link counts as the person's: %+v", opened)
	}
	lines := func(d *document.Document) (all []string) {
		for _, e := range slices.Backward(document.Explain(d, s.events, s.facts, s.now).Timeline[:12]) {
			all = append(all, strings.TrimSuffix(e.Title+": "+e.Detail, ": "))
		}
		return all
	}
	want := []string{
		"A robot opened the sender’s link for a correction: proofpoint; in the text",
		"The sender opened the link to correct Oliver Nguyen: in the text",
		"The sender asked for a correction of Oliver Nguyen: no message reached the person",
		"The correction of Oliver Nguyen was not made: PleaseSign did not accept it: oliver.nguyen@example.com is blocked",
		"An operator asked PleaseSign to invite Oliver Nguyen once more: by mara: ticket 7",
		"PleaseSign did not invite Oliver Nguyen once more: PleaseSign sends no messages to the person",
		"An operator asked for a correction of Oliver Nguyen: by mara: ticket 7",
		"Oliver Nguyen was corrected at PleaseSign: a new invitation follows, and earlier links do not work any more",
		"An operator asked PleaseSign to invite Oliver Nguyen once more: by mara: ticket 7",
		"PleaseSign invited Oliver Nguyen once more",
		"Reminder 1 to Oliver Nguyen was cancelled: the person was corrected, and is invited again",
		"Text to Oliver Nguyen was not made: invitation; the person was corrected meanwhile",
	}
	got := lines(d)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the lines are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, line := range lines(d.Masked()) {
		if strings.Contains(line, "blocked") || strings.Contains(line, "ticket") || strings.Contains(line, "Oliver") {
			t.Errorf("masked: %s", line)
		}
	}
	own := play(t, "clickwrap", sent(), reported(event.RecipientSent, olivia), corrected(olivier))
	if line := document.Explain(own.document(), own.events, own.facts, own.now).Timeline[0].Title; line != "Olivier Nguyen was corrected for the messages of Signrelay, not at Clickwrap" {
		t.Errorf("%q", line)
	}
}

// An erasure of the person before a correction leaves the corrected one, and an erasure of the corrected one takes all.
func TestErasedCorrections(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sequences string
		state     document.PersonState
		former    int
	}{
		"the person at the old address": {"2-6", document.NotYet, 0},
		"the corrected person":          {"8", document.PersonErased, 0},
		"both":                          {"2-8", document.PersonErased, 0},
		"another one":                   {"9", document.NotYet, 1},
	} {
		s := play(t, "pleasesign", after(corrected(oliver))...)
		if s.events[7].Event.GetType() != event.RecipientCorrected {
			t.Fatalf("event 8 is %s", s.events[7].Event.GetType())
		}
		erased("person", c.sequences)(s)
		d := s.document()
		if p := d.People[0]; p.State != c.state || len(p.Former) != c.former || p.State == document.PersonErased && p.Email+p.FirstName != "" {
			t.Errorf("%s: %+v", name, p)
		}
		// A later report about either id makes no second person.
		reported(event.RecipientOpened, olivia)(s)
		reported(event.RecipientOpened, oliver)(s)
		if d = s.document(); len(d.People) != 1 {
			t.Errorf("%s: %d people", name, len(d.People))
		}
	}
	late := play(t, "pleasesign", after(erased("person", "2-6"), corrected(oliver), reported(event.RecipientSent, oliver))...)
	if d := late.document(); len(d.People) != 1 || d.People[0].State != document.PersonErased || d.People[0].Email != "" {
		t.Errorf("a correction of an erased person: %+v", d.People)
	}
}

// The lane shows which messages are from before the correction, and the link's track begins with the new invitation.
func TestLaneOfACorrectedPerson(t *testing.T) {
	t.Parallel()
	s := play(t, "clickwrap", after(corrected(olivier), pass(time.Minute), handed(olivier, "invitation", "email"))...)
	lane := document.Explain(s.document(), s.events, s.facts, s.now).Lanes[0]
	var titles []string
	for _, track := range lane.Tracks {
		titles = append(titles, track.Title)
	}
	if want := []string{"Invitation, before the correction", "Invitation", "The link"}; !slices.Equal(titles, want) {
		t.Fatalf("the tracks are %q", titles)
	}
	if told := lane.Tracks[2].Hops[0]; told.Note != "e-mail" || told.At.Sub(begin) < time.Hour || lane.Email != olivier.GetEmail() || lane.Mobile != "" {
		t.Errorf("%+v of %+v", told, lane)
	}
}

// The number and the order of people stay, also if the provider reports the new id first.
func TestCorrectedPersonKeepsThePlace(t *testing.T) {
	t.Parallel()
	s := play(t, "pleasesign", sent(), reported(event.RecipientSent, olivia), reported(event.RecipientSent, jack), invited(jack), askedToCorrect(), reported(event.RecipientSent, oliver),
		answered(event.RecipientCorrected, oliver, map[string]string{"scope": event.AtProvider, "previous": "r-olivia"}))
	d := s.document()
	if len(d.People) != 2 || d.People[0].FullName() != "Oliver Nguyen" || d.People[1].FullName() != "Jack Wilson" || d.Masked().NameOf(1) != "Signer 2" {
		t.Fatalf("%+v", d.People)
	}
	if p := d.People[0]; !slices.Equal(p.Was, []string{"r-olivia"}) || len(p.Former) == 0 || p.Order.ID != "" {
		t.Errorf("%+v", p)
	}
	// A later correction counts, whichever is folded first; an older one changes no address.
	older := answered(event.RecipientCorrected, olivia, map[string]string{"scope": event.OwnMessages})
	older(s)
	s.events[len(s.events)-1].Event.OccurredAt = timestamppb.New(begin)
	if p := s.document().People[0]; p.ID != "r-oliver" || p.Email != oliver.GetEmail() {
		t.Errorf("an older correction: %+v", p)
	}
}
