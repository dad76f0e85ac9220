package providertest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// checkRoutes checks the declarations of a pack's routes, and its challenges.
func checkRoutes(t testing.TB, p pack.Pack, s Setup) {
	for i, route := range p.Routes {
		if err := route.Check(); err != nil {
			t.Error(err)
		}
		if slices.ContainsFunc(p.Routes[:i], func(r pack.Route) bool { return r.Path == route.Path }) {
			t.Errorf("route %q is declared twice", route.Path)
		}
		if route.Challenge == nil {
			continue
		}
		for _, method := range route.Challenge.Methods {
			of := func(r pack.Request) bool { return r.Route == route.Path && r.Method == method }
			if !slices.ContainsFunc(s.Challenges, of) {
				t.Errorf("Setup.Challenges has no %s to route %q", method, route.Path)
			}
		}
	}
	for _, r := range s.Challenges {
		checkChallenge(t, p, s, r)
	}
}

// checkChallenge checks that a challenge has a response, and that a challenge which the provider signs counts only with its credentials.
func checkChallenge(t testing.TB, p pack.Pack, s Setup, r pack.Request) {
	name := fmt.Sprintf("challenge %s %q", r.Method, r.Route)
	i := slices.IndexFunc(p.Routes, func(route pack.Route) bool { return route.Path == r.Route })
	if i < 0 || p.Routes[i].Challenge == nil || !slices.Contains(p.Routes[i].Challenge.Methods, r.Method) {
		t.Errorf("%s: no route declares it", name)
		return
	}
	if r.ReceivedAt.IsZero() {
		r.ReceivedAt = receivedAt
	}
	c := p.Routes[i].Challenge
	if c.Respond(r) == nil {
		t.Errorf("%s: the pack does not recognize it", name)
	}
	checkResponses(t, p, r)
	w := webhook(t, p, s.Source)
	v, err := w.Verify(r)
	switch {
	case !c.Signed:
	case err != nil:
		t.Errorf("%s: it is signed, and refused: %v", name, err)
	default:
		checkStripped(t, s, w, r, v.By)
	}
}

// checkIsCallback checks that a pack does not take a callback for a challenge: the callback would be lost.
func checkIsCallback(t testing.TB, p pack.Pack, r pack.Request) {
	for _, route := range p.Routes {
		if c := route.Challenge; route.Path == r.Route && c != nil && slices.Contains(c.Methods, r.Method) && c.Respond(r) != nil {
			t.Error("the pack takes this callback for a challenge")
		}
	}
}

// checkResponses checks the pack's responses to a request: as a callback with each result, and as a challenge.
func checkResponses(t testing.TB, p pack.Pack, r pack.Request) {
	t.Helper()
	i := slices.IndexFunc(p.Routes, func(route pack.Route) bool { return route.Path == r.Route })
	if i < 0 {
		return
	}
	check := func(name string, respond func() *pack.Response) {
		t.Helper()
		response := respond()
		if response == nil {
			return
		}
		if err := response.Check(); err != nil {
			t.Errorf("response to %s: %v", name, err)
		}
		if again := respond(); !cmp.Equal(response, again) {
			t.Errorf("response to %s: two differ\n%s", name, cmp.Diff(response, again))
		}
	}
	route := p.Routes[i]
	if route.Respond != nil {
		for _, result := range []pack.Result{pack.Accepted, pack.Duplicate, pack.Quarantined} {
			check(string(result), func() *pack.Response { return route.Respond(r, result) })
		}
	}
	if c := route.Challenge; c != nil && slices.Contains(c.Methods, r.Method) {
		check("a challenge", func() *pack.Response { return c.Respond(r) })
	}
}
