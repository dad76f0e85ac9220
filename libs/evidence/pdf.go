package evidence

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"github.com/go-fonts/dejavu/dejavusans"
	"github.com/go-fonts/dejavu/dejavusansbold"
	"github.com/go-fonts/dejavu/dejavusansmono"
)

// The layout of evidence.pdf: A4, in millimetres; sizes of type in points.
const (
	pageWidth, pageHeight = 210.0, 297.0
	margin                = 15.0
	footer                = 12.0 // above the lower edge
	textWidth             = pageWidth - 2*margin
	lowest                = pageHeight - margin - 5 // no line goes below it

	titleSize, headingSize, textSize, smallSize = 16.0, 12.0, 9.0, 7.5
	lineFactor                                  = 0.47 // the height of a line in millimetres, for each point of its size
	padding                                     = 1.2  // of a cell
	factWidth                                   = 42.0 // of the names of facts
)

// The fonts of the page, embedded as the subset of their characters in use.
const (
	sans = "sans"
	mono = "mono"
	bold = "B"
)

// pageColor is the grey of a line or of less important text.
const (
	lineGrey = 200
	softGrey = 95
)

// pdf returns evidence.pdf.
func (p page) pdf() ([]byte, error) {
	shown, missing := p.inFonts()
	w := writer{Fpdf: fpdf.New("P", "mm", "A4", ""), widths: map[string]map[rune]float64{}}
	// The library writes into the bytes of a font while it makes the subset (getMetrics). Without copies, the second file would differ from the first.
	w.AddUTF8FontFromBytes(sans, "", bytes.Clone(dejavusans.TTF))
	w.AddUTF8FontFromBytes(sans, bold, bytes.Clone(dejavusansbold.TTF))
	w.AddUTF8FontFromBytes(mono, "", bytes.Clone(dejavusansmono.TTF))
	w.SetTitle("Evidence: "+shown.Title, true)
	w.SetCreator("Signrelay", true)
	w.SetLang("en")
	w.SetCatalogSort(true) // the same content gives the same bytes
	w.SetCreationDate(time.Unix(0, 0).UTC())
	w.SetModificationDate(time.Unix(0, 0).UTC())
	w.SetMargins(margin, margin, margin)
	w.SetAutoPageBreak(false, 0)
	const pages = "{pages}"
	w.AliasNbPages(pages)
	w.SetFooterFunc(func() {
		w.font(sans, "", smallSize)
		w.SetTextColor(softGrey, softGrey, softGrey)
		w.SetXY(margin, pageHeight-footer)
		w.CellFormat(textWidth, 4, fmt.Sprintf("Evidence file of Signrelay, page %d of %s. All times are in UTC.", w.PageNo(), pages), "", 0, "L", false, 0, "")
		w.SetTextColor(0, 0, 0)
	})
	w.AddPage()
	w.content(shown, missing)
	var b bytes.Buffer
	err := w.Output(&b)
	return b.Bytes(), err
}

// writer writes lines from the top to the bottom of a page.
type writer struct {
	*fpdf.Fpdf

	family string
	size   float64
	widths map[string]map[rune]float64 // of the characters of each font at 1 point
}

func (w *writer) content(p page, missing int) {
	w.font(sans, "", textSize)
	w.SetTextColor(softGrey, softGrey, softGrey)
	w.lines(margin, textWidth, []string{"Evidence file of Signrelay"})
	w.SetTextColor(0, 0, 0)
	w.font(sans, bold, titleSize)
	w.paragraph(p.Title)
	w.gap(2)
	w.facts(margin, p.Facts)
	if missing > 0 {
		w.gap(2)
		w.font(sans, "", textSize)
		w.paragraph(fmt.Sprintf("The fonts of this PDF cannot show %d characters of this document. Each is replaced by its number in Unicode, such as [U+5F20]. "+
			"The page evidence.html has these characters.", missing))
	}
	for _, s := range p.Sections {
		w.section(s)
	}
}

func (w *writer) section(s section) {
	w.gap(5)
	w.need(30) // a heading never stands alone at the end of a page
	w.font(sans, bold, headingSize)
	w.paragraph(s.Heading)
	w.gap(1)
	w.font(sans, "", textSize)
	for _, text := range s.Paragraphs {
		w.paragraph(text)
		w.gap(1)
	}
	if len(s.Commands) > 0 {
		w.font(mono, "", smallSize)
		w.paragraph(strings.Join(s.Commands, "\n"))
	}
	if s.Table != nil {
		w.table(*s.Table)
	}
	for _, c := range s.Cards {
		w.card(c)
	}
}

func (w *writer) card(c card) {
	w.need(25)
	w.rule()
	w.gap(1.5)
	w.font(sans, bold, textSize)
	w.paragraph(strings.ToUpper(c.Title[:1]) + c.Title[1:])
	if c.Text != "" {
		const indent = 3
		w.font(sans, "", textSize)
		w.gap(0.5)
		for _, line := range w.wrap(c.Text, textWidth-indent) {
			w.need(w.height())
			y := w.GetY()
			w.lines(margin+indent, textWidth-indent, []string{line})
			w.SetDrawColor(softGrey, softGrey, softGrey)
			w.SetLineWidth(0.6)
			w.Line(margin+0.5, y, margin+0.5, w.GetY())
			w.SetLineWidth(0.2)
		}
		w.gap(1)
	}
	w.facts(margin, c.Facts)
	w.gap(1.5)
}

// facts writes pairs of names and values.
func (w *writer) facts(x float64, all []fact) {
	for _, f := range all {
		w.font(sans, "", textSize)
		names := w.wrap(f.Name, factWidth-2)
		asMono := f.Mono && inMono(f.Value)
		if asMono {
			w.font(mono, "", textSize-0.5)
		}
		values := w.wrap(f.Value, textWidth-factWidth)
		for i := range max(len(names), len(values)) {
			w.font(sans, "", textSize)
			w.need(w.height())
			y := w.GetY()
			if i < len(names) {
				w.SetTextColor(softGrey, softGrey, softGrey)
				w.lines(x, factWidth-2, names[i:i+1])
				w.SetTextColor(0, 0, 0)
			}
			next := y + w.height()
			if asMono {
				w.font(mono, "", textSize-0.5)
			}
			if i < len(values) {
				w.SetY(y)
				w.lines(x+factWidth, textWidth-factWidth, values[i:i+1])
			}
			w.SetY(next)
		}
	}
}

// table writes a table. Its heading is repeated on each page.
func (w *writer) table(t table) {
	total := 0
	for _, c := range t.Columns {
		total += c.Width
	}
	widths := make([]float64, len(t.Columns))
	for i, c := range t.Columns {
		widths[i] = textWidth * float64(c.Width) / float64(total)
	}
	w.columns(t, widths)
	for _, row := range t.Rows {
		cells, most := make([][]string, len(row)), 0
		for i, text := range row {
			w.cellFont(t.Columns[i], text)
			cells[i] = w.wrap(text, widths[i]-padding)
			most = max(most, len(cells[i]))
		}
		w.font(sans, "", smallSize)
		if height := float64(most)*w.height() + 2*padding; w.GetY()+min(height, pageHeight/3) > lowest {
			w.AddPage()
			w.columns(t, widths)
		}
		w.rule()
		w.gap(padding)
		for line := range most {
			w.font(sans, "", smallSize)
			if w.GetY()+w.height() > lowest {
				w.AddPage()
				w.columns(t, widths)
			}
			x, y := margin, w.GetY()
			for i := range cells {
				if line < len(cells[i]) {
					w.cellFont(t.Columns[i], row[i])
					w.SetY(y)
					w.lines(x, widths[i]-padding, cells[i][line:line+1])
				}
				x += widths[i]
			}
			w.font(sans, "", smallSize)
			w.SetY(y + w.height())
		}
		w.gap(padding)
	}
}

// columns writes the heading of a table.
func (w *writer) columns(t table, widths []float64) {
	w.font(sans, bold, smallSize)
	w.SetTextColor(softGrey, softGrey, softGrey)
	x, y := margin, w.GetY()
	lowestY := y
	for i, c := range t.Columns {
		w.SetY(y)
		w.lines(x, widths[i]-padding, w.wrap(c.Name, widths[i]-padding))
		lowestY, x = max(lowestY, w.GetY()), x+widths[i]
	}
	w.SetTextColor(0, 0, 0)
	w.SetY(lowestY + padding)
}

func (w *writer) cellFont(c column, text string) {
	if c.Mono && inMono(text) {
		w.font(mono, "", smallSize-0.5)
	} else {
		w.font(sans, "", smallSize)
	}
}

func (w *writer) font(family, style string, size float64) {
	w.family, w.size = family+style, size
	w.SetFont(family, style, size)
}

// height returns the height of a line of the current font.
func (w *writer) height() float64 { return w.size * lineFactor }

func (w *writer) gap(height float64) { w.SetY(w.GetY() + height) }

// need begins another page unless the current one has this much room.
func (w *writer) need(height float64) {
	if w.GetY()+height > lowest {
		w.AddPage()
	}
}

func (w *writer) rule() {
	w.SetDrawColor(lineGrey, lineGrey, lineGrey)
	w.Line(margin, w.GetY(), pageWidth-margin, w.GetY())
}

// paragraph writes wrapped text over the whole width.
func (w *writer) paragraph(text string) {
	for _, line := range w.wrap(text, textWidth) {
		w.need(w.height())
		w.lines(margin, textWidth, []string{line})
	}
}

// lines writes lines that fit into the width, at the current height.
func (w *writer) lines(x, width float64, lines []string) {
	for _, line := range lines {
		w.SetX(x)
		w.CellFormat(width, w.height(), line, "", 0, "L", false, 0, "")
		w.SetY(w.GetY() + w.height())
	}
}

// wrap breaks a text into lines of at most this width: at spaces, and inside words that are longer than a line.
func (w *writer) wrap(text string, width float64) (lines []string) {
	for line := range strings.SplitSeq(text, "\n") {
		current, used := "", 0.0
		for word := range strings.SplitSeq(line, " ") {
			wide, space := w.width(word), w.width(" ")
			if current != "" && used+space+wide <= width {
				current, used = current+" "+word, used+space+wide
				continue
			}
			if current != "" {
				lines = append(lines, current)
				current, used = "", 0
			}
			for _, r := range word {
				one := w.rune(r)
				if used+one > width && current != "" {
					lines = append(lines, current)
					current, used = "", 0
				}
				current, used = current+string(r), used+one
			}
		}
		lines = append(lines, current)
	}
	return lines
}

func (w *writer) width(text string) (sum float64) {
	for _, r := range text {
		sum += w.rune(r)
	}
	return sum
}

// rune returns the width of a character in the current font.
func (w *writer) rune(r rune) float64 {
	known := w.widths[w.family]
	if known == nil {
		known = map[rune]float64{}
		w.widths[w.family] = known
	}
	if _, ok := known[r]; !ok {
		known[r] = w.GetStringWidth(string(r)) / w.size
	}
	return known[r] * w.size
}
