package evidence

import (
	"bytes"
	_ "embed"
	"html/template"
)

//go:embed page.html.tmpl
var htmlText string

var htmlTemplate = template.Must(template.New("page").Parse(htmlText))

// html returns evidence.html. It is one file without scripts, and it loads nothing.
func (p page) html() ([]byte, error) {
	var b bytes.Buffer
	err := htmlTemplate.Execute(&b, p)
	return b.Bytes(), err
}
