package evidence

import (
	"fmt"
	"strings"
	"sync"
	"unicode"

	"github.com/go-fonts/dejavu/dejavusans"
	"github.com/go-fonts/dejavu/dejavusansbold"
	"github.com/go-fonts/dejavu/dejavusansmono"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/text/unicode/norm"

	"github.com/signrelay/signrelay/libs/printable"
)

// The fonts of the PDF have the letters of Latin, Greek and Cyrillic and of a few more scripts. The PDF is written from left to right, letter by
// letter, so it cannot show scripts that run from right to left or that join letters. Such characters are replaced by their numbers: two names
// that differ still differ.

// unshaped are the scripts whose letters the fonts have and that the PDF cannot show.
var unshaped = []*unicode.RangeTable{unicode.Arabic, unicode.Hebrew, unicode.Nko, unicode.Syriac, unicode.Thaana, unicode.Lao}

// inFonts returns the page with only characters that the PDF can show, and the number of those that were replaced.
func (p page) inFonts() (page, int) {
	missing := 0
	shown := p.changed(func(text string) string {
		var b strings.Builder
		for _, r := range norm.NFC.String(text) {
			if r == '\n' || inText(r) {
				b.WriteRune(r)
				continue
			}
			missing++
			fmt.Fprintf(&b, "[U+%04X]", r)
		}
		return b.String()
	})
	return shown, missing
}

// printed returns the page without characters that are invisible or that change how others are displayed: a name could otherwise look like
// another one.
func (p page) printed() page { return p.changed(printable.Lines) }

// changed returns the page with each of its texts changed.
func (p page) changed(change func(string) string) page {
	facts := func(all []fact) []fact {
		changed := make([]fact, len(all))
		for i, f := range all {
			changed[i] = fact{change(f.Name), change(f.Value), f.Mono}
		}
		return changed
	}
	out := page{Title: change(p.Title), Facts: facts(p.Facts)}
	for _, s := range p.Sections {
		next := section{Heading: s.Heading, Commands: s.Commands}
		for _, text := range s.Paragraphs {
			next.Paragraphs = append(next.Paragraphs, change(text))
		}
		if s.Table != nil {
			next.Table = &table{Columns: s.Table.Columns}
			for _, row := range s.Table.Rows {
				cells := make([]string, len(row))
				for i, text := range row {
					cells[i] = change(text)
				}
				next.Table.Rows = append(next.Table.Rows, cells)
			}
		}
		for _, c := range s.Cards {
			next.Cards = append(next.Cards, card{change(c.Title), facts(c.Facts), change(c.Text)})
		}
		out.Sections = append(out.Sections, next)
	}
	return out
}

// fonts parses the fonts of the PDF once: of text, of headings, and of hashes. They are part of the program, so an error is a mistake in the program.
var fonts = sync.OnceValue(func() []*sfnt.Font {
	var all []*sfnt.Font
	for _, data := range [][]byte{dejavusans.TTF, dejavusansbold.TTF, dejavusansmono.TTF} {
		font, err := sfnt.Parse(data)
		if err != nil {
			panic(fmt.Sprintf("evidence: parse a font: %v", err))
		}
		all = append(all, font)
	}
	return all
})

// inText reports whether the PDF can show a character in its text and its headings. The PDF library knows the characters up to U+FFFF.
func inText(r rune) bool {
	return r <= 0xFFFF && !unicode.In(r, unshaped...) && has(fonts()[0], r) && has(fonts()[1], r)
}

// inMono reports whether the font of hashes has all characters of a text. It has fewer than the others: no Vietnamese letters, for example.
func inMono(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !has(fonts()[2], r) })
}

func has(font *sfnt.Font, r rune) bool {
	glyph, err := font.GlyphIndex(nil, r)
	return err == nil && glyph != 0
}
