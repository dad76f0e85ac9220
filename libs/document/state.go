package document

import "time"

// settle derives the states from the facts.
func (d *Document) settle() {
	d.State, d.EndedAt = d.state()
	d.Untold = 0
	for i := range d.People {
		p := &d.People[i]
		if p.State = p.state(d); d.untold(p) {
			d.Untold++
		}
	}
}

// state returns the document's state and when it ended. The law is that of event.PastOf, which a property compares: a completion is final; another
// end counts unless the document was sent again later; a refusal counts unless its person signed or the document was sent again.
func (d *Document) state() (State, time.Time) {
	if !d.Ends.Completed.IsZero() {
		return Completed, d.Ends.Completed
	}
	is, over := State(""), time.Time{}
	end := func(s State, at time.Time) {
		if at.After(over) {
			is, over = s, at
		}
	}
	end(Expired, d.Ends.Expired)
	end(Voided, d.Ends.Voided)
	end(Declined, d.Ends.Declined)
	if !d.Ends.Refused.Before(d.SentAt) {
		end(Declined, d.Ends.Refused)
	}
	for i := range d.People {
		if p := &d.People[i]; d.declined(p) {
			end(Declined, p.DeclinedAt)
		}
	}
	if is != "" && !over.Before(d.SentAt) {
		return is, over
	}
	if d.asked() {
		return Waiting, time.Time{}
	}
	return Created, time.Time{}
}

// declined reports whether a person's refusal counts: in the latest sending, and without a signature.
func (d *Document) declined(p *Person) bool {
	return !p.DeclinedAt.IsZero() && p.SignedAt.IsZero() && !p.DeclinedAt.Before(d.SentAt)
}

// asked reports whether a person was asked to sign.
func (d *Document) asked() bool {
	if !d.SentAt.IsZero() || d.UnnamedSigned > 0 || !d.Ends.Expired.IsZero() || !d.Ends.Declined.IsZero() || !d.Ends.Voided.IsZero() {
		return true
	}
	for i := range d.People {
		p := &d.People[i]
		if !p.ProviderAt.IsZero() || !p.SignedAt.IsZero() || !p.Opened.At.IsZero() || !p.DeclinedAt.IsZero() || len(p.Messages) > 0 {
			return true
		}
	}
	return len(d.Unnamed) > 0
}

// Signed returns the number of signers who have signed, and Known the number of signers that the log knows. Signers whose turn has not come may be
// unknown.
func (d *Document) Signed() (signed, known int) {
	for i := range d.People {
		switch p := &d.People[i]; {
		case !p.SignedAt.IsZero():
			signed++
			known++
		case p.State != PersonErased: // whether an erased person still signs is not known
			known++
		}
	}
	signed += d.UnnamedSigned
	return signed, max(known, signed)
}

func (p *Person) state(d *Document) PersonState {
	switch {
	case p.State == PersonErased:
		return PersonErased
	case !p.SignedAt.IsZero():
		return SignedState
	case d.declined(p):
		return RefusedState
	case p.OutAll.After(p.InAll):
		return OptedOut
	case !p.Opened.At.IsZero():
		return OpenedState
	}
	is := NotYet
	if !p.ProviderAt.IsZero() && !p.UndeliverableAt.After(p.ProviderAt) {
		return Told
	}
	if !p.UndeliverableAt.IsZero() {
		is = NotTold
	}
	for i := range p.Messages {
		switch m := &p.Messages[i]; {
		case p.Formerly(m):
		case m.arrived():
			return Told
		case m.Outcome == Requested, m.Outcome == Deferred:
			is = OnItsWay
		case m.problem() && is != OnItsWay:
			is = NotTold
		}
	}
	return is
}

// untold reports whether a person should know something now and does not: a message is held; or the latest message that the person should have
// reached no channel, and none is on its way.
func (d *Document) untold(p *Person) bool {
	if p.State == PersonErased || p.State == OptedOut {
		return false
	}
	wanted := d.wanted(p)
	latest := -1
	for i := range p.Messages {
		if m := &p.Messages[i]; wanted(m) {
			if m.Outcome == Held {
				return true
			}
			if latest < 0 || m.At.After(p.Messages[latest].At) {
				latest = i
			}
		}
	}
	if latest < 0 {
		return d.State == Waiting && p.State == NotTold
	}
	last, lost := &p.Messages[latest], false
	for i := range p.Messages {
		m := &p.Messages[i]
		if !wanted(m) || m.Kind != last.Kind || m.Number != last.Number {
			continue
		}
		if m.arrived() || m.Outcome == Requested || m.Outcome == Deferred {
			return false
		}
		lost = lost || m.problem()
	}
	return lost
}

// wanted returns the messages that a person should still get: those that ask to sign while the document waits for the person, and the completed
// document.
func (d *Document) wanted(p *Person) func(*Message) bool {
	return func(m *Message) bool {
		switch {
		case m.asks():
			return d.State == Waiting && p.SignedAt.IsZero() && !p.Formerly(m)
		case d.State == Completed:
			return m.Kind == "completed"
		default:
			return false
		}
	}
}

// problem reports whether the message did not reach its person, and another message would be needed.
func (m *Message) problem() bool {
	switch m.Outcome {
	case Held, Failed:
		return true
	case Suppressed:
		return !notNeeded[m.Reason]
	default:
		return false
	}
}
