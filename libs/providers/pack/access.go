package pack

// Closed checks by the document whether a link has a target. It returns a *NotOpenError if there is none, or nil if the provider can be
// called. A person who is not (or no longer) on the document has nothing to open, even if the link was made while the person was on it.
func (d *Document) Closed(link Link) error {
	var person *Recipient
	for i := range d.Recipients {
		if d.Recipients[i].ID == link.Recipient && link.Recipient != "" {
			person = &d.Recipients[i]
		}
	}
	completed := d.Status == StatusCompleted
	switch {
	case person == nil:
		return &NotOpenError{Reason: Gone}
	case d.Status == StatusDeclined, d.Status == StatusVoided, d.Status == StatusExpired:
		return &NotOpenError{Reason: Ended}
	case link.Purpose == Download && completed:
		return nil
	case link.Purpose == Download:
		return &NotOpenError{Reason: NotYet}
	case completed, person.Signed:
		return &NotOpenError{Reason: AlreadySigned}
	case person.Declined:
		return &NotOpenError{Reason: Ended}
	case !d.turn(person):
		return &NotOpenError{Reason: NotYet}
	default:
		return nil
	}
}

// Unfinished returns a *NotOpenError unless everybody has signed, or nil if the provider can be asked for the document's files.
func (d *Document) Unfinished() error {
	switch d.Status {
	case StatusCompleted:
		return nil
	case StatusDeclined, StatusVoided, StatusExpired:
		return &NotOpenError{Reason: Ended}
	default:
		return &NotOpenError{Reason: NotYet}
	}
}

// turn reports whether all people before this person in the signing order have signed.
func (d *Document) turn(person *Recipient) bool {
	for _, other := range d.Recipients {
		if other.Order < person.Order && !other.Signed {
			return false
		}
	}
	return true
}
