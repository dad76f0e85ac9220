package index_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/index"
	"github.com/signrelay/signrelay/libs/realtest"
)

// databases runs a test with each database.
func databases(t *testing.T, test func(t *testing.T, address string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "sqlite://"+t.TempDir()+"/index.db")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, realtest.Postgres(t))
	})
}

func open(t *testing.T, address string) *index.Index {
	t.Helper()
	i, err := index.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

var start = time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)

func one(number uint64, id, title string, people ...index.Person) index.Row {
	at := start.Add(time.Duration(number) * time.Minute)
	return index.Row{
		Key: index.Key{Source: "acme", Provider: "clickwrap", ID: id}, Number: number, Sequence: number, Title: title, State: "waiting",
		People: people, SentAt: at, LastAt: at, Body: []byte(`{}`),
	}
}

func apply(t *testing.T, i *index.Index, rows ...index.Row) {
	t.Helper()
	if err := i.Apply(t.Context(), index.Batch{Rows: rows}); err != nil {
		t.Fatal(err)
	}
}

func find(t *testing.T, i *index.Index, q index.Query) index.Page {
	t.Helper()
	p, err := i.Search(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ids(p index.Page) string {
	var all []string
	for _, r := range p.Rows {
		all = append(all, r.ID)
	}
	return strings.Join(all, " ")
}

// TestSearchLaws: what finds what.
func TestSearchLaws(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, address string) {
		i := open(t, address)
		apply(t, i,
			one(3, "Doc-77Aa", "Mietvertrag Büro München", index.Person{FirstName: "Jörg", LastName: "Großmann", Email: "J.Grossmann+sign@Example.COM", Mobile: "+61 412 345 678"}),
			one(5, "env_88", "契約書 東京", index.Person{FirstName: "伟", LastName: "王", Email: "wang.wei@exämple.cn", Mobile: "0412 999 111"}),
			one(9, "9f3c1e", "Lease of unit 412", index.Person{FirstName: "Renée", LastName: "O’Neil-Ødegård", Email: "renee@acme.example", Mobile: "(02) 9374-4000"}),
			one(200_000, "pp", "ﬁnal Ｔｉｔｌｅ", index.Person{FirstName: "Ann", LastName: "Lee"}),
		)
		for _, c := range []struct {
			text, want string
			exact      bool
		}{
			{text: "", want: "pp 9f3c1e env_88 Doc-77Aa"},
			{text: "münch", want: "Doc-77Aa"}, {text: "MUNCHEN", want: "Doc-77Aa"}, {text: "unche", want: "Doc-77Aa"},
			{text: "grossm", want: "Doc-77Aa"}, {text: "großm", want: "Doc-77Aa"}, {text: "jorg GROß", want: "Doc-77Aa"},
			{text: "n+sign@ex", want: "Doc-77Aa"}, {text: "@example", want: "env_88 Doc-77Aa"}, {text: "example.com", want: "Doc-77Aa"},
			{text: "renee", want: "9f3c1e"}, {text: "odegard", want: "9f3c1e"},
			{text: "+61 412 345 678", want: "Doc-77Aa"}, {text: "0412345678", want: "Doc-77Aa"}, {text: "0412 345", want: "Doc-77Aa"}, {text: "345 678", want: "Doc-77Aa"},
			{text: "+61412999111", want: "env_88"}, {text: "+61 (412) 999-111", want: "env_88"}, {text: "0293744000", want: "9f3c1e"},
			{text: "+61 2 9374 4000", want: "9f3c1e"},
			{text: "412", want: "9f3c1e env_88 Doc-77Aa"}, {text: "unit 412", want: "9f3c1e"},
			{text: "契約", want: "env_88"}, {text: "約", want: "env_88"}, {text: "東京", want: "env_88"}, {text: "王", want: "env_88"}, {text: "契約書", want: "env_88"},
			{text: "an", want: "pp"}, {text: "un", want: "9f3c1e"}, {text: "nc", want: ""}, {text: "M", want: "Doc-77Aa"}, {text: "le", want: "pp 9f3c1e"},
			{text: "final title", want: "pp"}, {text: "ann ann", want: "pp Doc-77Aa"}, {text: "ann bob", want: ""},
			{text: "doc-7", want: "Doc-77Aa"}, {text: "Doc-77Aa", want: "Doc-77Aa"}, {text: "77aa", want: ""}, {text: "9f", want: "9f3c1e"}, {text: "9f3c1", want: "9f3c1e"},
			{text: "\x00\x01", want: ""}, {text: "'; DROP TABLE documents; --", want: ""}, {text: "%", want: ""},
			{text: "renee@acme.example", exact: true, want: "9f3c1e"}, {text: "renee@acme.exampl", exact: true}, {text: "renee", exact: true}, {text: "acme", exact: true},
			{text: "doc-77aa", exact: true, want: "Doc-77Aa"}, {text: "doc-77a", exact: true}, {text: "0412 345 678", exact: true, want: "Doc-77Aa"},
			{text: "+61412345678", exact: true, want: "Doc-77Aa"}, {text: "2345678", exact: true}, {text: "345678", exact: true}, {text: "lease", exact: true},
		} {
			if got := ids(find(t, i, index.Query{Text: c.text, Exact: c.exact})); got != c.want {
				t.Errorf("%q (exact %v): %q, want %q", c.text, c.exact, got, c.want)
			}
		}
	})
}

// world makes random documents from few words, so that many have the same.
type world struct {
	*rand.Rand
	rows map[index.Key]index.Row
}

var pieces = []string{"anna", "banana", "Ann", "annabel", "müller", "Muller", "naan", "example", "amp", "契約", "契", "東京都", "an", "na", "412", "0412", "+61", "a1", "x"}

func (w *world) word() string { return pieces[w.IntN(len(pieces))] }

func (w *world) person() index.Person {
	p := index.Person{FirstName: w.word(), LastName: w.word() + w.word(), Email: w.word() + "@" + w.word() + ".example"}
	if w.IntN(3) > 0 {
		p.Mobile = []string{"+61", "0", "61 ", ""}[w.IntN(4)] + fmt.Sprintf("4%02d 34%d 67%d", w.IntN(30), w.IntN(3), w.IntN(3))
	}
	return p
}

func (w *world) row(number uint64) index.Row {
	r := index.Row{
		Key:    index.Key{Source: []string{"acme", "legal"}[w.IntN(2)], Provider: []string{"clickwrap", "pleasesign"}[w.IntN(2)], ID: fmt.Sprintf("%s-%d", w.word(), number)},
		Number: number, Sequence: number, Title: w.word() + " " + w.word(), State: []string{"waiting", "completed", "declined"}[w.IntN(3)],
		Untold: max(w.IntN(5)-3, 0), Stuck: w.IntN(9) == 0,
		SentAt: start.Add(time.Duration(w.IntN(90*24)) * time.Hour), Body: fmt.Appendf(nil, `{"n":%d}`, number),
	}
	if w.IntN(2) > 0 {
		r.SentAt = start.Add(time.Duration(number) * time.Second)
	}
	r.LastAt = r.SentAt
	for range w.IntN(4) {
		r.People = append(r.People, w.person())
	}
	return r
}

func (w *world) query() index.Query {
	q := index.Query{Limit: 1 + w.IntN(7)}
	switch w.IntN(6) {
	case 0:
	case 1:
		word := []rune(w.word() + w.word())
		from := w.IntN(len(word))
		q.Text = string(word[from : from+1+w.IntN(len(word)-from)])
	case 2:
		q.Text = w.word() + " " + w.word()
	case 3:
		q.Text = []string{"0", "+61 ", ""}[w.IntN(3)] + fmt.Sprintf("4%02d 34%d", w.IntN(30), w.IntN(3))
	case 4:
		q.Text = w.person().Mobile
		q.Exact = w.IntN(2) == 0
	default:
		q.Text = w.person().Email
		q.Exact = w.IntN(2) == 0
	}
	if w.IntN(3) == 0 {
		q.Source = "acme"
	}
	if w.IntN(4) == 0 {
		q.Provider = "pleasesign"
	}
	if w.IntN(3) == 0 {
		q.State = "waiting"
	}
	q.Untold, q.Stuck = w.IntN(5) == 0, w.IntN(6) == 0
	if w.IntN(4) == 0 {
		q.Since = start.Add(time.Duration(w.IntN(60*24)) * time.Hour)
	}
	if w.IntN(4) == 0 {
		q.Until = start.Add(time.Duration(w.IntN(90*24)) * time.Hour)
	}
	return q
}

// model returns the numbers of the documents that match, newest first.
func (w *world) model(q index.Query) (all []uint64) {
	for _, r := range w.rows {
		if (q.Source == "" || q.Source == r.Source) && (q.Provider == "" || q.Provider == r.Provider) && (q.State == "" || q.State == r.State) &&
			(!q.Untold || r.Untold > 0) && (!q.Stuck || r.Stuck) && !r.SentAt.Before(q.Since) && (q.Until.IsZero() || r.SentAt.Before(q.Until)) &&
			index.Matches(r, q) {
			all = append(all, r.Number)
		}
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all
}

// TestRandomDocumentsAndQueries compares both databases with a model in memory: pages, their keys and counts.
func TestRandomDocumentsAndQueries(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, address string) {
		i := open(t, address)
		w := &world{rand.New(rand.NewPCG(4, 44)), map[index.Key]index.Row{}}
		number := uint64(1)
		for range 12 {
			var b index.Batch
			for range 250 {
				number += 1 + w.Uint64N(400)
				r := w.row(number)
				b.Rows = append(b.Rows, r)
			}
			changed := map[index.Key]bool{}
			for k, r := range w.rows { // the order of a map is random, and so is what changes
				switch next := w.row(r.Number); {
				case len(changed) > 120:
				case w.IntN(4) == 0:
					b.Removed = append(b.Removed, k)
					changed[k] = true
					delete(w.rows, k)
				default:
					next.Key, next.Sequence = k, r.Sequence+1
					b.Rows = append(b.Rows, next)
					changed[k] = true
				}
				if len(changed) > 120 {
					break
				}
			}
			for _, r := range b.Rows {
				w.rows[r.Key] = r
			}
			if err := i.Apply(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			for range 25 {
				compare(t, i, w, w.query())
			}
		}
	})
}

func compare(t *testing.T, i *index.Index, w *world, q index.Query) {
	t.Helper()
	want := w.model(q)
	var got []uint64
	for p := find(t, i, q); ; p = find(t, i, q) {
		if p.About || p.Total != len(want) {
			t.Fatalf("%+v: total %d (about %v), want %d", q, p.Total, p.About, len(want))
		}
		for _, r := range p.Rows {
			got = append(got, r.Number)
		}
		if !p.Older || len(got) > 40 {
			break
		}
		q.After = got[len(got)-1]
	}
	if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) || len(got) <= 40 && len(got) != len(want) {
		t.Fatalf("%+v: %v, want %v", q, got, want)
	}
	if len(got) < 2 {
		return
	}
	q.After, q.Before = 0, got[len(got)-1]
	back := find(t, i, q)
	from := max(len(got)-1-q.Limit, 0)
	var numbers []uint64
	for _, r := range back.Rows {
		numbers = append(numbers, r.Number)
	}
	if !slices.Equal(numbers, got[from:len(got)-1]) || back.Newer != (from > 0) {
		t.Fatalf("%+v: %v (newer %v), want %v", q, numbers, back.Newer, got[from:len(got)-1])
	}
}

// TestReplayedBatchesChangeNothing: an older or equal sequence of a document, and an older position.
func TestReplayedBatchesChangeNothing(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, address string) {
		i := open(t, address)
		first := one(5, "a", "first title", index.Person{FirstName: "Jack", Email: "jack@acme.example"})
		second := first
		second.Sequence, second.Title, second.State = 8, "second title", "completed"
		for _, b := range []index.Batch{
			{Position: index.Position{Sequence: 5, At: start}, Rows: []index.Row{first}},
			{Position: index.Position{Sequence: 8, At: start.Add(time.Hour)}, Rows: []index.Row{second}},
			{Position: index.Position{Sequence: 5, At: start}, Rows: []index.Row{first}},
			{Position: index.Position{Sequence: 8, At: start.Add(time.Hour)}, Rows: []index.Row{second}},
		} {
			if err := i.Apply(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if p, err := i.Position(t.Context()); err != nil || p.Sequence != 8 || !p.At.Equal(start.Add(time.Hour)) {
			t.Errorf("position %+v, %v", p, err)
		}
		for q, want := range map[index.Query]int{{Text: "first"}: 0, {Text: "second"}: 1, {State: "waiting"}: 0, {State: "completed"}: 1, {}: 1} {
			if p := find(t, i, q); p.Total != want || len(p.Rows) != want {
				t.Errorf("%+v: %d, want %d", q, p.Total, want)
			}
		}
		got, err := i.Get(t.Context(), first.Key)
		if err != nil || got.Sequence != 8 || got.State != "completed" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// TestAWriterThatWasLeftBehindChangesNothing, and a batch at the position of the index is stored.
func TestAWriterThatWasLeftBehindChangesNothing(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, address string) {
		i := open(t, address)
		at := func(n uint64) index.Position { return index.Position{Sequence: n, At: start} }
		store := func(from, to uint64, id string) error {
			return i.ApplyAt(t.Context(), at(from), index.Batch{Position: at(to), Rows: []index.Row{one(to, id, "title")}})
		}
		if err := store(0, 5, "first"); err != nil {
			t.Fatal(err)
		}
		for _, from := range []uint64{0, 4, 6} {
			if err := store(from, 7, "other"); !errors.Is(err, index.ErrMoved) {
				t.Errorf("at %d: %v", from, err)
			}
		}
		if err := store(5, 9, "second"); err != nil {
			t.Fatal(err)
		}
		if got := ids(find(t, i, index.Query{Text: "title"})); got != "second first" {
			t.Errorf("the index has %q", got)
		}
	})
}

// TestOpenLeavesARunningRebuildAlone: it removes only what a killed one left.
func TestOpenLeavesARunningRebuildAlone(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, address string) {
		i := open(t, address)
		apply(t, i, one(1, "old", "title"))
		build, err := i.Rebuild(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := build.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		open(t, address)
		if err := i.Remove(t.Context(), one(1, "old", "").Key); err != nil {
			t.Fatal(err)
		}
		if err := build.Apply(t.Context(), index.Batch{Rows: []index.Row{one(2, "new", "title")}}); err != nil {
			t.Fatal(err)
		}
		if err := build.Words(t.Context(), func(int, int) {}); err != nil {
			t.Fatal(err)
		}
		if err := build.Swap(t.Context(), func(context.Context, index.Position) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if got := ids(find(t, i, index.Query{Text: "title"})); got != "new" {
			t.Errorf("the index has %q", got)
		}
	})
}

func TestViewsBelongToTheirOwner(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, address string) {
		i := open(t, address)
		ctx := t.Context()
		save := func(owner, name, text string) {
			if err := i.SaveView(ctx, index.View{Owner: owner, Name: name, Query: index.Query{Text: text, State: "waiting", After: 7}}); err != nil {
				t.Fatal(err)
			}
		}
		save("eva", "b", "one")
		save("eva", "a", "two")
		save("eva", "b", "three")
		save("sam", "b", "four")
		if err := i.RemoveView(ctx, "sam", "a"); err != nil {
			t.Fatal(err)
		}
		all, err := i.Views(ctx, "eva")
		if err != nil || len(all) != 2 || all[0].Name != "a" || all[1].Query != (index.Query{Text: "three", State: "waiting"}) {
			t.Errorf("%+v, %v", all, err)
		}
		if err := i.SaveView(ctx, index.View{Owner: "eva"}); err == nil {
			t.Error("a view without a name was saved")
		}
	})
}

func TestInsightCountsEachWeek(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, address string) {
		i := open(t, address)
		monday := time.Date(2026, 9, 7, 0, 0, 0, 0, time.UTC)
		var rows []index.Row
		for n := range 10 {
			sent := monday.Add(time.Duration(n) * time.Hour)
			p := index.Person{FirstName: "Ann", SentAt: sent, DeliveredAt: sent.Add(time.Minute), Channel: "sms", Kind: "invitation", Parts: 2}
			if n < 5 {
				p.OpenedAt, p.SignedAt = sent.Add(time.Hour), sent.Add(time.Duration(n+1)*time.Hour)
			}
			r := one(uint64(n+1), fmt.Sprint("d", n), "title", p)
			r.SentAt = sent
			rows = append(rows, r)
		}
		late := one(20, "late", "title", index.Person{SentAt: monday.Add(-time.Second)})
		apply(t, i, append(rows, late)...)
		all, err := i.Insight(t.Context(), "", monday.Add(-time.Hour), monday.Add(7*24*time.Hour))
		if err != nil || len(all) != 2 {
			t.Fatalf("%+v, %v", all, err)
		}
		w := all[1]
		if !w.Start.Equal(monday) || w.Sent != 10 || w.Delivered != 10 || w.Opened != 5 || w.Signed != 5 || w.Parts != 20 || w.MedianHours != 3 || w.P90Hours != 5 ||
			w.Channels["sms"] != 5 || w.Kinds["invitation"] != 5 {
			t.Errorf("%+v", w)
		}
		if all, err := i.Insight(t.Context(), "legal", monday, monday.Add(time.Hour)); err != nil || len(all) != 0 {
			t.Errorf("another source: %+v, %v", all, err)
		}
	})
}

// TestASecondProcessReads: another connection pool sees what was written.
func TestASecondProcessReads(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, address string) {
		writer, reader := open(t, address), open(t, address)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		done := make(chan error, 1)
		go func() {
			for ctx.Err() == nil {
				if _, err := reader.Search(ctx, index.Query{Text: "title"}); err != nil && ctx.Err() == nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for n := range uint64(50) {
			apply(t, writer, one(n+1, fmt.Sprint("d", n), "title"))
			if p := find(t, reader, index.Query{Text: "title"}); p.Total != int(n)+1 {
				t.Fatalf("%d documents, want %d", p.Total, n+1)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
