package templates

import (
	"embed"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"path"
	"strings"
	"sync"
	texttemplate "text/template"
)

//go:embed en
var files embed.FS

// fallback is the locale of who reads none of ours.
const fallback = "en"

// set is all messages, by "<locale>/<kind>.<channel>".
type set map[string]message

// message is one file, read twice: what is text is not escaped, and what is HTML is.
type message struct {
	text *texttemplate.Template
	html *htmltemplate.Template
}

var builtin = sync.OnceValue(func() set {
	s, err := parse(files)
	if err != nil {
		panic(err) // the files are in the program, and a test renders every one
	}
	return s
})

// find returns the message in the nearest locale: "en-AU", then "en", then the fallback.
func (s set) find(locale, name string) (message, bool) {
	for tag := locale; tag != ""; {
		if m, ok := s[tag+"/"+name]; ok {
			return m, true
		}
		tag = tag[:max(strings.LastIndexByte(tag, '-'), 0)]
	}
	m, ok := s[fallback+"/"+name]
	return m, ok
}

// parse reads <locale>/<kind>.<channel>.tmpl. A locale's words.tmpl and frame.tmpl are at the hand of each of its
// messages.
func parse(root fs.FS) (set, error) {
	found, err := fs.Glob(root, "*/*.*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("list the templates: %w", err)
	}
	s := set{}
	for _, file := range found {
		locale, name := path.Dir(file), strings.TrimSuffix(path.Base(file), ".tmpl")
		shared := []string{locale + "/words.tmpl", locale + "/frame.tmpl"}
		text, err := texttemplate.New(name).ParseFS(root, append(shared, file)...)
		if err != nil {
			return nil, fmt.Errorf("read template %s as text: %w", file, err)
		}
		html, err := htmltemplate.New(name).ParseFS(root, append(shared, file)...)
		if err != nil {
			return nil, fmt.Errorf("read template %s as HTML: %w", file, err)
		}
		s[locale+"/"+name] = message{text: text, html: html}
	}
	return s, nil
}
