package templates

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
)

//go:embed de en
var embedded embed.FS

// file is one template's source.
type file struct {
	path string // relative to its folder: <locale>/<name>.tmpl
	text string
}

// files is one layer of them, by path in lower case and without ".tmpl".
type files map[string]file

func (all files) add(to []file, name string) []file {
	if f, ok := all[name]; ok {
		to = append(to, f)
	}
	return to
}

const extension = ".tmpl"

// messageNames and sharedNames are the valid file names in a locale's folder.
var (
	messageNames = allMessageNames()
	sharedNames  = []string{"words", "frame"}
)

func allMessageNames() []string {
	var names []string
	for _, kind := range kinds() {
		for _, channel := range event.ChannelNames() {
			names = append(names, event.KindName(kind)+"."+channel)
		}
	}
	slices.Sort(names)
	return names
}

// shipped returns the embedded files.
func shipped() files {
	found, mistakes, err := read(embedded)
	if err != nil || len(mistakes) > 0 {
		panic(fmt.Sprint("templates: ", mistakes, err)) // they never change, and a test reads them
	}
	return found
}

// readOwn reads an operator's folder. The mistakes are about single files; the error is about the folder.
func readOwn(dir string) (files, []error, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, nil, fmt.Errorf("templates.dir: %w", err)
	} else if !info.IsDir() {
		return nil, nil, fmt.Errorf("templates.dir: %s is not a folder", dir)
	}
	found, mistakes, err := read(os.DirFS(dir))
	if err != nil {
		return nil, nil, fmt.Errorf("templates.dir: read %s: %w", dir, err)
	}
	return found, mistakes, nil
}

// tag matches a locale's name: a BCP 47 tag.
var tag = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$`)

// read reads <locale>/<name>.tmpl. Any other file is a mistake: a file with a wrong name would silently be unused. Names that begin with a dot
// are skipped: Kubernetes mounts a ConfigMap with some.
func read(root fs.FS) (files, []error, error) {
	folders, err := entries(root, ".")
	if err != nil {
		return nil, nil, err
	}
	found, mistakes := files{}, []error{}
	for _, folder := range folders {
		info, err := fs.Stat(root, folder) // not the entry's own information, because the entry may be a symbolic link
		switch {
		case err != nil:
			return nil, nil, err
		case !info.IsDir():
			mistakes = append(mistakes, fmt.Errorf("%s:1: want it in a locale's folder, such as en/%s", folder, folder))
		case !tag.MatchString(folder):
			mistakes = append(mistakes, fmt.Errorf("%s: no locale has this name: want one such as de or en-AU", folder))
		default:
			wrong, err := found.read(root, folder)
			if err != nil {
				return nil, nil, err
			}
			mistakes = append(mistakes, wrong...)
		}
	}
	return found, mistakes, nil
}

// read adds one locale's files.
func (all files) read(root fs.FS, folder string) (mistakes []error, err error) {
	names, err := entries(root, folder)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		f := file{path: path.Join(folder, name)}
		if err := known(name); err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s:1: %w", f.path, err))
			continue
		}
		text, err := fs.ReadFile(root, f.path)
		if err != nil {
			return nil, err
		}
		f.text = string(text)
		if !utf8.ValidString(f.text) {
			mistakes = append(mistakes, fmt.Errorf("%s:1: want UTF-8", f.path))
			continue
		}
		key := strings.ToLower(folder) + "/" + strings.TrimSuffix(name, extension)
		if twin, ok := all[key]; ok {
			mistakes = append(mistakes, fmt.Errorf("%s:1: is the same locale's as %s", f.path, twin.path))
		}
		all[key] = f
	}
	return mistakes, nil
}

// entries returns the names in a folder that do not begin with a dot.
func entries(root fs.FS, folder string) ([]string, error) {
	all, err := fs.ReadDir(root, folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range all {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// known returns an error if a file's name is not the name of a template.
func known(name string) error {
	all := slices.Concat(messageNames, sharedNames)
	stem, ok := strings.CutSuffix(name, extension)
	switch {
	case ok && slices.Contains(all, stem):
		return nil
	case ok:
		return fmt.Errorf("no message has this name: want <kind>.<channel>.tmpl, words.tmpl or frame.tmpl%s", config.DidYouMean(stem, all))
	default:
		return fmt.Errorf("want a name that ends in %s, such as invitation.sms%s", extension, extension)
	}
}
