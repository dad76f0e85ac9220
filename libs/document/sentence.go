package document

import (
	"slices"
	"strings"
)

// sentence returns what state the document is in and who was not notified, in one sentence.
func (x *explainer) sentence(untold []Untold) string {
	switch x.d.State {
	case Waiting:
		return x.waitingSentence(untold)
	case Completed:
		return x.completedSentence(untold)
	case Declined:
		who := "A person"
		if i := x.decliner(); i >= 0 {
			who = x.name(i)
		}
		return who + " declined " + x.ago(x.d.EndedAt) + x.andNotified("declined", untold) + "."
	case Voided:
		return "The sender withdrew the document " + x.ago(x.d.EndedAt) + x.andNotified("voided", untold) + "."
	case Expired:
		how := ", unsigned"
		if x.signed > 0 {
			how = " with " + count(x.signed) + " of " + plural(x.total, "signature", "signatures")
		}
		return "No action needed: the document expired on " + x.on(x.d.EndedAt) + how + "."
	case Erased:
		return "The document was erased on " + x.on(x.d.EndedAt) + ": what stays is that it was sent to " + plural(len(x.d.People), "person", "people") + "."
	case Created:
		if x.d.Unverified > 0 && x.d.Unverified == x.d.Reported {
			return "Nothing authenticated the callback about this document, so nothing follows from it."
		}
		return upper(x.provider()) + " has the document, and no one was asked to sign yet."
	default:
		return "The log has no event of this document."
	}
}

func (x *explainer) waitingSentence(untold []Untold) string {
	missing := x.missing()
	problem := slices.IndexFunc(untold, func(u Untold) bool { return !u.Minor })
	switch {
	case len(x.d.People) == 0 && problem >= 0:
		return "The document was sent, and no signer was notified: " + untold[problem].Because + "."
	case len(x.d.People) == 0:
		return "The document was sent, and the log names no signer yet."
	case len(missing) == 0 && x.total > x.signed:
		return "Every signer in the log has signed, and " + plural(x.total-x.signed, "signature is", "signatures are") + " missing."
	case len(missing) == 0:
		return "Every signer in the log has signed, and the document is not completed yet."
	}
	if problem >= 0 {
		return x.problemSentence(missing, untold)
	}
	if len(missing) == 1 || x.onlyActive(missing) >= 0 {
		i := missing[0]
		if one := x.onlyActive(missing); one >= 0 {
			i = one
		}
		return x.beginning(i, missing) + x.progressOf(i) + "."
	}
	return x.several(missing)
}

// onlyActive returns the one person who may sign now, while all others wait for their turn; -1 if there is no such person.
func (x *explainer) onlyActive(missing []int) int {
	active := -1
	for _, i := range missing {
		if x.d.People[i].State == NotYet {
			continue
		}
		if active >= 0 {
			return -1
		}
		active = i
	}
	return active
}

// beginning says whom the document waits for. Only a caller's list of the signers makes certain who is the last one: the log does not know a signer
// whose turn has not come.
func (x *explainer) beginning(i int, missing []int) string {
	switch {
	case x.knowsAll() && x.total-x.signed == 1 && x.total > 1, !x.knowsAll() && len(missing) == 1 && x.signed > 0:
		return x.name(i) + " is the last to sign"
	case (len(missing) > 1 || x.total-x.signed > 1) && x.onlyActive(missing) == i:
		return x.name(i) + " signs next"
	default:
		return x.name(i) + " has not signed"
	}
}

// progressOf says what a person has got, as the end of a sentence.
func (x *explainer) progressOf(i int) string {
	p := &x.d.People[i]
	switch p.State {
	case OptedOut:
		return ", and wants no messages about the document"
	case OnItsWay:
		if m := x.deferred(p); m != nil {
			return "; " + kindWord(m.Kind) + " " + byChannels([]string{m.Channel}) + " waits, because " + x.because(m.Reason, m.Channel)
		}
		return "; " + kindWord("invitation") + " is on its way"
	case NotYet:
		return ", and was not asked to sign yet"
	case Told, NotTold, OpenedState, SignedState, RefusedState, PersonErased:
	}
	how := ""
	if told := p.Told(); len(told) > 0 {
		how = ", was notified " + byChannels(told)
	}
	if p.State == OpenedState {
		if how == "" {
			return ", and " + x.openedHow(p)
		}
		return how + ", and " + x.openedHow(p)
	}
	if how != "" {
		how = ", and" + how[1:]
	}
	if m := x.deferred(p); m != nil {
		return how + "; " + kindWord(m.Kind) + " " + byChannels([]string{m.Channel}) + " waits, because " + x.because(m.Reason, m.Channel)
	}
	if !p.Opened.RobotAt.IsZero() {
		return how + "; only a robot opened the link"
	}
	return how + "; no person has opened the link"
}

func (x *explainer) openedHow(p *Person) string {
	what := "opened the link "
	if p.Opened.Certainty == Reported {
		what = "opened the document "
	}
	return what + x.ago(p.Opened.At)
}

func (x *explainer) deferred(p *Person) *Message {
	for i := range slices.Backward(p.Messages) {
		if m := &p.Messages[i]; m.Outcome == Deferred && m.asks() && !p.Formerly(m) {
			return m
		}
	}
	return nil
}

// problemSentence names the person who was not notified.
func (x *explainer) problemSentence(missing []int, untold []Untold) string {
	var people []int
	for _, u := range untold {
		if !u.Minor && !slices.Contains(people, u.Person) {
			people = append(people, u.Person)
		}
	}
	if len(people) > 1 {
		names := make([]string, len(people))
		for i, p := range people {
			if names[i] = x.name(p); p == NoPerson {
				names[i] = strings.ToLower(x.nameIn(untold, p)[:1]) + x.nameIn(untold, p)[1:]
			}
		}
		return count(x.signed) + " of " + count(x.total) + " have signed, and messages to " + list(names) + " have not arrived."
	}
	u := untold[slices.IndexFunc(untold, func(u Untold) bool { return !u.Minor })]
	if u.Person == NoPerson {
		return count(x.signed) + " of " + count(x.total) + " have signed, and " + x.missed(u) + "."
	}
	return x.beginning(u.Person, missing) + ", and " + x.missed(u) + "."
}

func (x *explainer) nameIn(untold []Untold, person int) string {
	return untold[slices.IndexFunc(untold, func(u Untold) bool { return u.Person == person })].Name
}

// missed says what did not reach a person.
func (x *explainer) missed(u Untold) string {
	what := kindWord(u.Kind)
	if u.Person == NoPerson && !strings.Contains(what, "signer") {
		what += " to " + strings.ToLower(u.Name[:1]) + u.Name[1:]
	}
	if u.Channel != "" {
		what += " " + byChannels([]string{u.Channel})
	}
	switch u.Outcome {
	case Held:
		return what + " has not left"
	case Failed:
		if u.Channel == smsName && x.wasSent(u) || u.Reason == "undeliverable" {
			return what + " did not arrive"
		}
		return what + " was given up"
	case GivenUp:
		return what + " was given up"
	case Suppressed:
		return what + " was not made: " + u.Because
	default:
		return what + " has not arrived"
	}
}

func (x *explainer) wasSent(u Untold) bool {
	if u.Person < 0 {
		return false
	}
	i := slices.IndexFunc(x.d.People[u.Person].Messages, func(m Message) bool { return m.ID == u.Message })
	return i >= 0 && !x.d.People[u.Person].Messages[i].SentAt.IsZero()
}

// several says how far a document is that waits for more than one person.
func (x *explainer) several(missing []int) string {
	told, opened := 0, 0
	for _, i := range missing {
		is := x.d.People[i].State
		if is == OpenedState {
			opened++
		}
		if is == OpenedState || is == Told {
			told++
		}
	}
	who := x.name(missing[0]) + " and " + x.name(missing[len(missing)-1]) + " have not signed"
	all, of := "both", "them"
	if len(missing) > 2 || x.total-x.signed > 2 {
		who, all = count(max(len(missing), x.total-x.signed))+" of "+plural(x.total, "signer", "signers")+" have not signed", "all of them"
	}
	var how string
	switch {
	case told == len(missing):
		how = all + " were notified"
	case told == 0:
		how = "no one of " + of + " was notified yet"
	default:
		how = count(told) + " of " + of + " " + was(told) + " notified"
	}
	switch opened {
	case 0:
		return who + "; " + how + ", and no person has opened a link."
	case len(missing):
		return who + "; " + how + ", and " + all + " opened the link."
	default:
		return who + "; " + how + ", and " + count(opened) + " opened the link."
	}
}

func was(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

func (x *explainer) completedSentence(untold []Untold) string {
	who := "All signers have signed"
	switch {
	case x.total == 1 && len(x.d.People) == 1:
		who = x.name(0) + " has signed"
	case x.signed == 2 && x.total == 2:
		who = "Both have signed"
	case x.signed == x.total && x.total > 2:
		who = "All " + count(x.total) + " have signed"
	}
	var parts []string
	got, waits := 0, 0
	for i := range x.d.People {
		is := Outcome("")
		for _, m := range x.d.People[i].Messages {
			if m.Kind == "completed" && (is == "" || m.arrived()) {
				is = m.Outcome
			}
		}
		switch is {
		case Sent, Delivered:
			got++
		case Requested, Deferred:
			waits++
		case Suppressed, Held, Failed, GivenUp:
		}
	}
	if i := slices.IndexFunc(untold, func(u Untold) bool { return !u.Minor }); i >= 0 {
		by := ""
		if untold[i].Channel != "" {
			by = " " + byChannels([]string{untold[i].Channel})
		}
		parts = append(parts, x.nameOf(untold[i])+" was not notified"+by+": "+untold[i].Because)
	} else if n := len(x.d.People); got == n && n > 0 {
		parts = append(parts, map[bool]string{true: "was notified", false: "all were notified"}[n == 1])
		if n == 2 {
			parts[0] = "both were notified"
		}
	} else if waits > 0 {
		parts = append(parts, "the completion message is on its way")
	}
	if slices.ContainsFunc(x.d.Files, func(f File) bool { return f.Kind == "signed" }) {
		parts = append(parts, "the signed file is archived")
	}
	if len(parts) > 0 {
		parts[len(parts)-1] = "and " + parts[len(parts)-1]
	}
	return strings.Join(append([]string{who}, parts...), ", ") + "."
}

func (x *explainer) nameOf(u Untold) string {
	if u.Person == NoPerson {
		return strings.ToLower(u.Name[:1]) + u.Name[1:]
	}
	return u.Name
}

// decliner returns the person whose refusal ended the document; -1 if it is not known.
func (x *explainer) decliner() int {
	who := -1
	for i := range x.d.People {
		if p := &x.d.People[i]; x.d.declined(p) && (who < 0 || p.DeclinedAt.After(x.d.People[who].DeclinedAt)) {
			who = i
		}
	}
	return who
}

// andNotified says who was notified of the end of the document, as the end of a sentence.
func (x *explainer) andNotified(kind string, untold []Untold) string {
	var who []string
	if slices.ContainsFunc(x.d.Unnamed, func(m Message) bool { return m.Kind == kind && m.arrived() }) {
		who = append(who, "the sender")
	}
	var people []int
	for i := range x.d.People {
		if slices.ContainsFunc(x.d.People[i].Messages, func(m Message) bool { return m.Kind == kind && m.arrived() }) {
			people = append(people, i)
		}
	}
	switch n := len(people); {
	case n == 1 && kind == "declined" && len(x.d.People) == 2:
		who = append(who, "the other signer")
	case n == 1:
		who = append(who, x.name(people[0]))
	case n == 2 && len(x.d.People) == 2:
		who = append(who, "both signers")
	case n > 1:
		who = append(who, count(n)+" signers")
	}
	i := slices.IndexFunc(untold, func(u Untold) bool { return !u.Minor })
	switch {
	case len(who) == 0 && i >= 0:
		return ", and " + x.missed(untold[i])
	case len(who) == 0:
		return ""
	}
	if len(who) == 1 && !strings.HasSuffix(who[0], "signers") {
		return ", and " + who[0] + " was notified"
	}
	return ", and " + list(who) + " were notified"
}

// more says what the people have got who have not signed; empty for a document that waits for no one.
func (x *explainer) more() string {
	if x.d.State != Waiting {
		return ""
	}
	var all []string
	for _, i := range x.missing() {
		if len(all) == 3 {
			break // the lanes have all of them
		}
		if text := x.has(i); text != "" {
			all = append(all, text)
		}
		if text := x.waitingOrder(i); text != "" {
			all = append(all, text+": that was asked for "+x.ago(x.d.People[i].Order.At)+", and has no outcome yet.")
		}
	}
	if x.held() {
		all = append(all, "The document is under a legal hold.")
	}
	return strings.Join(all, " ")
}

// has says which messages a person has: "Jack Wilson has the invitation by text and e-mail; no person has opened the link."
func (x *explainer) has(i int) string {
	p := &x.d.People[i]
	type what struct {
		kind   string
		number int
	}
	var order []what
	by := map[what][]string{}
	for _, m := range p.Messages {
		if !m.asks() || !m.arrived() || p.Formerly(&m) {
			continue
		}
		w := what{m.Kind, m.Number}
		if by[w] == nil {
			order = append(order, w)
		}
		if !slices.Contains(by[w], m.Channel) {
			by[w] = append(by[w], m.Channel)
		}
	}
	var got []string
	for _, w := range order[max(0, len(order)-3):] {
		text := kindWord(w.kind)
		if w.number > 1 {
			text = numbered(w.kind, w.number)
		}
		got = append(got, text+" "+byChannels(by[w]))
	}
	if len(got) == 0 && !p.ProviderAt.IsZero() {
		got = []string{"a message of " + x.provider()}
	}
	if len(got) == 0 {
		return ""
	}
	text := x.name(i) + " has " + list(got)
	switch {
	case !p.Opened.At.IsZero():
		return text + "; " + strings.Replace(x.openedHow(p), "opened", "a person opened", 1) + "."
	case !p.Opened.RobotAt.IsZero():
		return text + "; a robot opened the link, which does not count as opened."
	case slices.Equal(p.Told(), []string{emailName}):
		return text + "; whether it was read is not known."
	default:
		return text + "; no person has opened the link."
	}
}
