package evidence

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// page is the readable content of an evidence file. evidence.html and evidence.pdf show the same blocks.
type page struct {
	Title    string
	Facts    []fact
	Sections []section
}

type fact struct {
	Name, Value string
	Mono        bool // a hash or an id
}

// section is a heading with paragraphs, then a table or cards.
type section struct {
	Heading    string
	Paragraphs []string
	Commands   []string // shown in one block
	Table      *table
	Cards      []card
}

type table struct {
	Columns []column
	Rows    [][]string // a cell may have several lines
}

type column struct {
	Name  string
	Width int // relative to the other columns, in the PDF
	Mono  bool
}

// card is a message to a person.
type card struct {
	Title string
	Facts []fact
	Text  string // as it was sent
}

// page returns the content of the pages.
func (r *report) page(chain Chain, fingerprint string) page {
	title := cmp.Or(r.document.GetTitle(), "Document "+r.source.Document.ID)
	p := page{
		Title: title,
		Facts: []fact{
			{Name: "Document", Value: r.source.Document.ID, Mono: true},
			{Name: "Provider", Value: r.source.Document.Provider},
			{Name: "Account", Value: r.source.Document.Source},
			{Name: "State", Value: cmp.Or(r.ended, "The log has no event that ended the document.")},
			{Name: "First event", Value: clock(r.first)},
			{Name: "Last event", Value: clock(r.last)},
			{Name: "Events", Value: strconv.Itoa(chain.Events)},
			{Name: "Hash of the last event", Value: chain.Head, Mono: true},
			{Name: "Signed with the key", Value: fingerprint, Mono: true},
		},
	}
	if uri := r.document.GetUri(); uri != "" {
		p.Facts = slices.Insert(p.Facts, 1, fact{Name: "Provider's path", Value: uri, Mono: true})
	}
	for _, s := range []section{
		r.peopleSection(), r.rowsSection(), r.messagesSection(), r.clicksSection(), r.filesSection(), r.callbacksSection(), r.unprocessedSection(),
		r.verificationSection(), checkSection(fingerprint), r.limitsSection(),
	} {
		if s.Heading != "" {
			p.Sections = append(p.Sections, s)
		}
	}
	return p
}

// omitted says that a list is not complete.
func omitted(missing int, where string) []string {
	if missing == 0 {
		return nil
	}
	return []string{fmt.Sprintf("This list has too many entries to read. %d of them, in the middle, are not shown here: %s.", missing, where)}
}

func (r *report) peopleSection() section {
	all, missing := r.people.all()
	s := section{Heading: "People", Paragraphs: omitted(missing, "the folder events has them")}
	if len(all) == 0 {
		s.Paragraphs = append(s.Paragraphs, "No event names a person.")
		return s
	}
	s.Table = &table{Columns: []column{{"Name", 20, false}, {"E-mail", 24, false}, {"Mobile number", 14, false}, {"Signature", 26, false}, {"Id at the provider", 20, true}}}
	for _, p := range all {
		s.Table.Rows = append(s.Table.Rows, []string{
			cmp.Or(p.Name, "not named"), p.Email, p.Mobile, cmp.Or(p.Signed, "no event of a signature"), p.ID,
		})
	}
	return s
}

func (r *report) rowsSection() section {
	all, missing := r.rows.all()
	s := section{
		Heading: "What happened",
		Paragraphs: append([]string{
			"The events are in the order in which Signrelay stored them. \"Happened\" is the time that the provider reports, or, for Signrelay's own events, the time of Signrelay's clock. " +
				"\"Stored\" is the time of the log's server. The number is the name of the event's file: number 1 is events/000001.json.",
		}, omitted(missing, "the folder events has them")...),
		Table: &table{Columns: []column{{"No.", 6, false}, {"Happened", 15, false}, {"Stored", 15, false}, {"Event", 38, false}, {"Person", 16, false}, {"Verified by", 14, false}}},
	}
	for _, e := range all {
		what := e.What
		if len(e.Details) > 0 {
			what += "\n" + strings.Join(e.Details, "; ")
		}
		s.Table.Rows = append(s.Table.Rows, []string{strconv.Itoa(e.N), clock(e.At), clock(e.Stored), what, e.Who.name(), e.Verified})
	}
	return s
}

func (r *report) messagesSection() section {
	all, missing := r.messages.all()
	s := section{Heading: "Messages to people", Paragraphs: omitted(missing, "the folder events has them")}
	if len(all) == 0 {
		s.Paragraphs = append(s.Paragraphs, "Signrelay made no message about this document.")
		return s
	}
	s.Paragraphs = append(s.Paragraphs, "\"Accepted\" means that the provider of text messages or the mail server took the message. Only a delivery receipt says that it arrived. "+
		"Where a text has a link, its secret part is replaced by \"…\".")
	for _, m := range all {
		c := card{Title: strings.TrimSpace(cmp.Or(m.Kind, "message") + " " + channel(m.Channel)), Text: m.Text}
		if who := m.Who.name(); who != "" {
			c.Title += " to " + who
		}
		add := func(name, value string, mono bool) {
			if value != "" {
				c.Facts = append(c.Facts, fact{name, value, mono})
			}
		}
		add("Subject", m.Subject, false)
		if m.Parts > 0 && m.Channel == "sms" {
			add("Parts", strconv.FormatUint(uint64(m.Parts), 10), false)
		}
		add("Price", m.Price, false)
		add("Template", m.Template, true)
		add("Reference at the vendor or mail server", m.Reference, true)
		add("What happened to it", strings.Join(m.States, "\n"), false)
		s.Cards = append(s.Cards, c)
	}
	return s
}

func (r *report) clicksSection() section {
	all, missing := r.clicks.all()
	s := section{Heading: "Opened links", Paragraphs: omitted(missing, "the folder events has them")}
	if len(all) == 0 {
		s.Paragraphs = append(s.Paragraphs, "The log has no event of an opened link.")
		return s
	}
	s.Paragraphs = append(s.Paragraphs, "The log tells that a link was opened, not who held the device. Programs of mail servers and phones fetch links, too.")
	s.Table = &table{Columns: []column{{"No.", 6, false}, {"Time", 22, false}, {"Opened by", 32, false}, {"Link of the message", 22, false}, {"Sent to", 20, false}}}
	for _, c := range all {
		s.Table.Rows = append(s.Table.Rows, []string{strconv.Itoa(c.N), clock(c.At), c.By, c.Details, c.Who.name()})
	}
	return s
}

func (r *report) filesSection() section {
	all, missing := r.files.all()
	s := section{Heading: "Archived files", Paragraphs: omitted(missing, "the folder events has them")}
	if len(all) == 0 {
		s.Paragraphs = append(s.Paragraphs, "The log has no event of an archived file.")
		return s
	}
	s.Table = &table{Columns: []column{{"No.", 6, false}, {"Kind", 12, false}, {"Size", 16, false}, {"SHA-256", 40, true}, {"In this evidence file", 26, true}}}
	for _, f := range all {
		s.Table.Rows = append(s.Table.Rows, []string{strconv.Itoa(f.N), f.Kind, bytesOf(f.Size), f.SHA256, cmp.Or(f.Member, "no, only its hash")})
	}
	return s
}

func (r *report) callbacksSection() section {
	all, missing := r.callbacks.all()
	// An event that names a callback may be stored before the one that carries it.
	all = slices.DeleteFunc(all, func(c callbackRow) bool { return c.Member == "" && r.carried[c.ID] })
	s := section{Heading: "Callbacks as the provider sent them", Paragraphs: omitted(missing, "the folder callbacks has them")}
	if len(all) == 0 {
		s.Paragraphs = append(s.Paragraphs, "The log has no callbacks of this document, because the settings did not keep them.")
		return s
	}
	s.Paragraphs = append(s.Paragraphs, "Each file has the request line, the headers that were kept, and the body byte for byte. "+
		"The setting is that of the key with which the callback was verified. A callback that reports several documents may be about other people, too.")
	s.Table = &table{Columns: []column{{"No.", 6, false}, {"Request", 26, true}, {"Verified with the setting", 26, true}, {"File", 18, true}, {"SHA-256", 28, true}}}
	for _, c := range all {
		key := cmp.Or(c.Key, "none")
		if c.Redacted {
			key += "\na secret was removed, so the signature cannot be checked again"
		}
		request, member := c.Request+"\n"+bytesOf(int64(c.Bytes)), c.Member
		if c.Member == "" {
			request, member = c.ID, "not here: an event of another document carries it"
		}
		s.Table.Rows = append(s.Table.Rows, []string{strconv.Itoa(c.N), request, key, member, c.SHA256})
	}
	return s
}

func (r *report) unprocessedSection() section {
	all, missing := r.left.all()
	if len(all) == 0 {
		return section{}
	}
	s := section{
		Heading: "Not processed",
		Paragraphs: append([]string{
			"These are callbacks that could not be read, and work that failed permanently. They name this document, and no event reports them.",
		}, omitted(missing, "the folder unprocessed has them")...),
		Table: &table{Columns: []column{{"Time", 18, false}, {"What", 40, false}, {"File", 20, true}, {"SHA-256", 30, true}}},
	}
	for _, u := range all {
		s.Table.Rows = append(s.Table.Rows, []string{clock(u.At), u.Summary, u.Member, u.SHA256})
	}
	return s
}

func (r *report) verificationSection() section {
	s := section{
		Heading: "How the facts were verified",
		Table:   &table{Columns: []column{{"Verified by", 20, false}, {"Events", 10, false}, {"Meaning", 74, false}}},
	}
	for _, v := range slices.Sorted(maps.Keys(r.verified)) {
		s.Table.Rows = append(s.Table.Rows, []string{short(v), strconv.Itoa(r.verified[v]), verifications[v].long})
	}
	return s
}

func checkSection(fingerprint string) section {
	return section{
		Heading: "How to check this file",
		Paragraphs: []string{
			"1. Check the ZIP file with the program Signrelay. It needs no network, no settings and no account. It finds each changed byte, and names the first part that does not fit.",
			"2. Compare the fingerprint of the key with the one that the operator of Signrelay published or tells you by another way: " + fingerprint + ". " +
				"Without this comparison the check shows only that the file did not change after somebody signed it.",
			"3. Without Signrelay: extract the ZIP file, check the signature of manifest.json with OpenSSL 3, and compare each file's SHA-256 with manifest.json. " +
				"In the folder events, each file has the SHA-256 of the file before it as \"previous\".",
		},
		Commands: []string{
			"signrelay evidence verify --key " + fingerprint + " file.zip",
			"openssl pkeyutl -verify -pubin -inkey public-key.pem -rawin -in manifest.json -sigfile manifest.sig",
			"openssl pkey -pubin -in public-key.pem -outform DER | sha256sum",
		},
	}
}

func (r *report) limitsSection() section {
	s := section{
		Heading: "What this file does not show",
		Paragraphs: []string{
			"The signature is the operator's. It shows that the operator's installation made this file and that nobody changed it since. It does not show when the file was made: there is no timestamp of a third party.",
			"The file has what Signrelay received and did. Events of which the provider sent no callback are missing, unless a reconciliation with the provider found them.",
			"All times are in UTC. The provider's times come from the provider's clock.",
			"The file has names, addresses, numbers, texts and links of people. Give it only to people who may see them.",
		},
	}
	if !r.source.LogSince.IsZero() {
		s.Paragraphs = append(s.Paragraphs, "The log holds events since "+clock(r.source.LogSince)+". If this document had earlier events, they are not in this file.")
	}
	return s
}
