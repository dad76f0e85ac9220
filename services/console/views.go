package console

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/signrelay/signrelay/libs/index"
)

// everybody owns the views that all readers see. No reader has this name: readers' names begin with how they signed in.
const everybody = "everybody"

// builtIn are the views that every console has.
var builtIn = []struct {
	name, query string
}{
	{"Someone was not notified", "untold=1"},
	{"Something is stuck", "stuck=1"},
	{"Waiting over 7 days", "state=waiting&until=7d"},
	{"Declined in the last 7 days", "since=7d&state=declined"},
	{"All of the last 7 days", "since=7d"},
}

// viewLink is a view in the page.
type viewLink struct {
	ID, Name, Path string
	Current, Own   bool // Own: the reader may rename and delete it
	view           index.View
}

type viewGroup struct {
	Title string
	Links []viewLink
}

func (r *Request) viewOwner() string { return r.Reader.Via + ":" + r.Reader.Name }

// viewID names a view in addresses. Its own name may name a person.
func viewID(v index.View) string {
	sum := sha256.Sum256([]byte(v.Owner + "\x00" + v.Name))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// savedViews returns the views that the reader may see: the reader's own ones, and those of everybody. The text of a view may be a piece of a name, so
// a view whose text may have been sought by pieces is for the role private only, with its name.
func savedViews(r *Request, x *index.Index) (all []viewLink, err error) {
	for _, owner := range []string{r.viewOwner(), everybody} {
		views, err := x.Views(r.Context(), owner)
		if err != nil {
			return nil, err
		}
		for _, v := range views {
			own := owner != everybody
			if !r.Can(Private) && !v.Query.Exact {
				continue
			}
			id := viewID(v)
			all = append(all, viewLink{ID: id, Name: v.Name, Path: documentsPath + "?view=" + id, Own: own || r.Can(Operate), view: v})
		}
	}
	return all, nil
}

// views fills in the saved views. If the address names one of them, the listing gets its filters.
func (d *documentsData) views(r *Request, x *index.Index, l *listing) error {
	saved, err := savedViews(r, x)
	if err != nil {
		return r.Console.away(r.Context(), err)
	}
	groups := []viewGroup{{Title: "Views"}, {Title: "Mine"}, {Title: "Everybody’s"}}
	for _, v := range builtIn {
		link := viewLink{Name: v.name, Path: documentsPath + "?" + v.query}
		link.Current = link.Path == l.path(nil) && l.view == ""
		groups[0].Links = append(groups[0].Links, link)
	}
	for _, link := range saved {
		if link.ID == l.view {
			link.Current = true
			d.View = &link
			v := link.view
			if l.filtered() == 0 && l.text == "" {
				place := l.page
				l.page, l.text, l.since, l.until = v.Query, v.Query.Text, v.Since, v.Until
				l.page.After, l.page.Before = place.After, place.Before
				*l = l.keep(r)
			}
		}
		group := 1
		if link.view.Owner == everybody {
			group = 2
		}
		groups[group].Links = append(groups[group].Links, link)
	}
	if l.view != "" && d.View == nil {
		return &Problem{Status: http.StatusNotFound, Title: "No view has this address", Detail: "It was renamed or deleted, or it is another reader’s.", Back: documentsPath}
	}
	for _, g := range groups {
		if len(g.Links) > 0 {
			d.Views = append(d.Views, g)
		}
	}
	return nil
}

// mostViews bounds the views of one reader.
const mostViews = 100

// changeViews saves, renames or deletes a view.
func changeViews(r *Request) (View, error) {
	x, err := r.Console.reach(r.Context())
	if err != nil {
		return View{}, err
	}
	saved, err := savedViews(r, x)
	if err != nil {
		return View{}, r.Console.away(r.Context(), err)
	}
	form := r.PostForm
	name := strings.TrimSpace(form.Get("name"))
	if form.Get("do") != "delete" && (name == "" || !printableText(name, 100)) {
		return View{}, &Problem{Status: http.StatusBadRequest, Title: "The view needs a name", Detail: "It has 1 to 100 bytes and no control characters. Nothing was saved.", Back: documentsPath}
	}
	var named *viewLink
	for i := range saved {
		if saved[i].ID == form.Get("view") {
			named = &saved[i]
		}
	}
	switch do := form.Get("do"); do {
	case "save":
		return saveView(r, x, saved, name, form)
	case "rename", "delete":
		if named == nil {
			return View{}, &Problem{Status: http.StatusNotFound, Title: "No view has this address", Detail: "It was renamed or deleted, or it is another reader’s.", Back: documentsPath}
		}
		if !named.Own {
			return View{}, errSharedView
		}
		next := named.view
		next.Name = name
		if do == "rename" && name != named.Name {
			err = x.SaveView(r.Context(), next)
		}
		if err == nil && (do == "delete" || name != named.Name) {
			err = x.RemoveView(r.Context(), named.view.Owner, named.view.Name)
		}
		if err != nil {
			return View{}, r.Console.away(r.Context(), err)
		}
		if do == "delete" {
			return View{Next: documentsPath, Data: map[string]string{}}, nil
		}
		return View{Next: documentsPath + "?view=" + viewID(next), Data: map[string]string{"view": viewID(next)}}, nil
	default:
		return View{}, badFilter("do", "save, rename and delete")
	}
}

var errSharedView = &Problem{Status: http.StatusForbidden, Title: notAllowed, Detail: "A view for everybody takes the role operate. Nothing was saved.", Back: documentsPath}

func saveView(r *Request, x *index.Index, saved []viewLink, name string, form url.Values) (View, error) {
	l, err := readFilters(form)
	if err != nil {
		return View{}, err
	}
	if l.text = strings.TrimSpace(form.Get("q")); !printableText(l.text, 1024) {
		return View{}, badFilter("q", "no control characters and at most 1,024 bytes")
	}
	v := index.View{Name: name, Owner: r.viewOwner(), Query: l.page, Since: l.since, Until: l.until}
	v.Query.Text, v.Query.Exact = l.text, !r.Can(Private)
	if form.Get("shared") == "1" {
		if v.Owner = everybody; !r.Can(Operate) {
			return View{}, errSharedView
		}
	}
	if len(saved) >= mostViews {
		return View{}, &Problem{Status: http.StatusConflict, Title: "There are 100 views already", Detail: "Delete one first. Nothing was saved.", Back: documentsPath}
	}
	if err := x.SaveView(r.Context(), v); err != nil {
		return View{}, r.Console.away(r.Context(), err)
	}
	return View{Next: documentsPath + "?view=" + viewID(v), Data: map[string]string{"view": viewID(v)}}, nil
}
