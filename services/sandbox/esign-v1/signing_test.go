package esignv1_test

import (
	"strings"
	"testing"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// pageOf returns the path of a signer's link.
func pageOf(w sandboxtest.World, document string, which int) string {
	w.T.Helper()
	a := esign(w, "/signer/"+esignDocument(w, document).SignerObjects[which].UUID+"/new-link/")
	sandboxtest.WantStatus(w.T, a, 201)
	return w.Get(strings.TrimPrefix(a.Header.Get("Location"), w.Link(""))).Header.Get("Location")
}

func TestSigningPage(t *testing.T) {
	t.Parallel()
	sandboxtest.Signing{
		Provider: "esign-v1", Story: "long-night", Document: 1, Signers: []int{0},
		Signed: []string{"recipient.opened", "recipient.signed", "document.completed", "document.completed"}, Declined: []string{"recipient.opened", "recipient.declined", "document.declined"}, Page: pageOf,
	}.Run(t)
}
