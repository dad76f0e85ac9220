package templates

import (
	"crypto/sha256"
	"fmt"
	htmltemplate "html/template"
	"maps"
	"slices"
	"strings"
	texttemplate "text/template"
)

// fallback is the locale for readers of any other language.
const fallback = "en"

// message is one file, parsed twice: as text without escaping, and as HTML with escaping.
type message struct {
	locale string
	text   *texttemplate.Template
	html   *htmltemplate.Template // of an e-mail
	// version is its file's name without the extension, "@", and a hash of everything that it is made of.
	version string
}

// messages are all messages, by "<locale>/<kind>.<channel>" in lower case.
type messages map[string]message

// find returns the message in the nearest locale: "en-AU", then "en", then the fallback.
func (all messages) find(locale, name string) (message, bool) {
	for _, tag := range append(lineage(locale), fallback) {
		if m, ok := all[tag+"/"+name]; ok {
			return m, true
		}
	}
	return message{}, false
}

// localeFor returns the locale of the message for a person with a locale: an English message is "en" for a person with French, and
// "en-AU" for a person with Australian English.
func (m message) localeFor(locale string) string {
	if slices.Contains(lineage(locale), m.locale) {
		return locale
	}
	return m.locale
}

// lineage returns a locale and its more general locales, the most specific first: "en-au", "en".
func lineage(locale string) []string {
	var tags []string
	for tag := strings.ToLower(locale); tag != ""; tag = tag[:max(strings.LastIndexByte(tag, '-'), 0)] {
		tags = append(tags, tag)
	}
	return tags
}

// parse reads all messages of all locales from the built-in files and an operator's own files, and returns the mistakes.
//
// A message has one file: an operator's own file before the built-in one, "en-AU" before "en". The words and the frame come from all files. A
// later file replaces the definitions of an earlier one: first the built-in English file, then the operator's English file, then those of the
// language, then those of the region. So a words.tmpl has only the changed definitions, and a locale without one uses the English words.
func parse(ours, own files) (messages, []error) {
	locales := map[string]bool{}
	for _, layer := range []files{ours, own} {
		for name := range layer {
			locale, _, _ := strings.Cut(name, "/")
			locales[locale] = true
		}
	}
	found, wrong := messages{}, mistakes{}
	for _, locale := range slices.Sorted(maps.Keys(locales)) {
		tags := lineage(locale)
		var shared []file
		for _, tag := range append([]string{fallback}, reversed(tags)...) {
			for _, layer := range []files{ours, own} {
				for _, name := range sharedNames {
					shared = layer.add(shared, tag+"/"+name)
				}
			}
		}
		for _, name := range messageNames {
			f, ok := nearest(tags, name, own, ours)
			if !ok {
				continue
			}
			m, err := newMessage(locale, name, append(slices.Clip(shared), f))
			wrong.add(err)
			wrong.add(f.lacks(layoutOf(name).parts))
			found[locale+"/"+name] = m
		}
	}
	return found, wrong.all()
}

func reversed(tags []string) []string {
	tags = slices.Clone(tags)
	slices.Reverse(tags)
	return tags
}

// nearest returns the file of the first tag that has one, from the first layer that has it.
func nearest(tags []string, name string, layers ...files) (file, bool) {
	for _, tag := range tags {
		for _, layer := range layers {
			if f, ok := layer[tag+"/"+name]; ok {
				return f, true
			}
		}
	}
	return file{}, false
}

// newMessage reads the files in their order; a later definition replaces an earlier one.
func newMessage(locale, name string, parts []file) (message, error) {
	m := message{locale: locale, text: texttemplate.New(name)}
	html := layoutOf(name).html
	if html {
		m.html = htmltemplate.New(name)
	}
	sources := sha256.New()
	for _, f := range parts {
		fmt.Fprintf(sources, "%d:%s", len(f.text), f.text)
		m.version = fmt.Sprintf("%s@%x", strings.TrimSuffix(f.path, extension), sources.Sum(nil)[:8])
		// A template with the name of its file has that name in its errors.
		if _, err := m.text.New(f.path).Parse(f.text); err != nil {
			return m, err
		}
		if !html {
			continue
		}
		if _, err := m.html.New(f.path).Parse(f.text); err != nil {
			return m, err
		}
	}
	return m, nil
}

// layoutOf returns the layout of a message "<kind>.<channel>".
func layoutOf(name string) layout {
	_, channel, _ := strings.Cut(name, ".")
	return layouts[channel]
}

// lacks returns an error that names the missing blocks of a file.
func (f file) lacks(blocks []string) error {
	t, err := texttemplate.New("").Parse(f.text)
	if err != nil {
		return nil //nolint:nilerr // already reported by parse
	}
	var missing []string
	for _, block := range blocks {
		if t.Lookup(block) == nil {
			missing = append(missing, fmt.Sprintf("{{define %q}}", block))
		}
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("%s:1: %s is missing", f.path, strings.Join(missing, ", "))
}
