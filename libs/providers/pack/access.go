package pack

// Closed says why nothing is behind a link, as far as the document tells: a *NotOpenError, or nil where the provider can
// be asked. Who is not on the document (any more) has nothing to open, though his link was made when he was.
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

// turn tells whether all who sign before a person have signed.
func (d *Document) turn(person *Recipient) bool {
	for _, other := range d.Recipients {
		if other.Order < person.Order && !other.Signed {
			return false
		}
	}
	return true
}
