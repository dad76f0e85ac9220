package esignv1_test

import (
	"crypto"
	"errors"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/providers/esignv1"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

const good = `{"timestamp":"2018-03-20T07:09:52","name":"status","value":"40","resource_uri":"/api/v1/signer/S1/"}`

// An unreadable item must not affect the other items, whatever is wrong with it.
func TestABadItemDoesNotAffectOthers(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]struct{ item, reason string }{
		"without a resource":   {`{"timestamp":"x","name":"status","value":"40"}`, "resource-missing"},
		"with an empty one":    {`{"resource_uri":""}`, "resource-missing"},
		"no object":            {`"resource_uri"`, "not-json"},
		"null":                 {`null`, "not-json"},
		"a list":               {`[{"resource_uri":"/api/v1/signer/S/"}]`, "not-json"},
		"a broken literal":     {`{"resource_uri":"/api/v1/signer/S/","value":tru}`, "not-json"},
		"a comma missing":      {`{"resource_uri":"/api/v1/signer/S/"}{"resource_uri":"/api/v1/signer/T/"}`, "not-json"},
		"no UTF-8":             {"{\"resource_uri\":\"/api/v1/signer/S/\",\"value\":\"\xff\"}", "not-text"},
		"a raw line break":     {"{\"resource_uri\":\"/api/v1/signer/S/\",\"value\":\"a\nb\"}", "not-json"},
		"an incomplete escape": {`{"resource_uri":"/api/v1/signer/S/","value":"\x"}`, "not-json"},
		"too deep":             {`{"resource_uri":"/api/v1/signer/S/","value":` + nested(70) + `}`, "too-deep"},
	} {
		for place := range 3 {
			list := []string{good, good, good}
			list[place] = bad.item
			data := "[" + list[0] + "," + list[1] + " ,\n" + list[2] + "]"
			w := newWebhook(t, esignv1.Webhook{Token: "demo"})
			r := post("/all", url.Values{"data": {data}, "other": {"x"}}.Encode())
			batches, ok := w.(pack.Batches)
			if !ok {
				t.Fatal("it does not implement pack.Batches")
			}
			items, err := batches.Items(r)
			if err != nil || len(items) != 3 {
				t.Fatalf("%s: %d items, %v", name, len(items), err)
			}
			for i, item := range items {
				got, err := w.Normalize(item, token)
				var u *pack.UnreadableError
				switch {
				case string(item.Body) != list[i] || item.Item == nil || *item.Item != i || !batches.Holds(r, item):
					t.Errorf("%s: item %d is %s", name, i, item.Body)
				case i == place && (!errors.As(err, &u) || u.Reason != bad.reason):
					t.Errorf("%s: %v, %v; want %s", name, got, err, bad.reason)
				case i != place && (err != nil || len(got) != 1 || got[0].GetType() != "recipient.signed"):
					t.Errorf("%s: good item %d: %v, %v", name, i, got, err)
				case i != place && (got[0].GetAttributes()["unsigned.other"] == "x") != (i == 0):
					t.Errorf("%s: fields outside item %d: %v", name, i, got)
				}
			}
			if got, err := w.Normalize(r, token); err == nil {
				t.Errorf("%s: the whole batch was read: %v", name, got)
			}
		}
	}
	w, _ := newWebhook(t, esignv1.Webhook{Token: "demo"}).(pack.Batches)
	if items, err := w.Items(post("/signed", "uuid=D")); err != nil || items != nil {
		t.Errorf("a document: %v, %v", items, err)
	}
	if w.Holds(post("/all", batch(item("/api/v1/signer/S/", "status", "40", "t"))), pack.Request{Body: []byte(good)}) {
		t.Error("Holds is true for an item that is not in the batch")
	}
}

func nested(n int) string {
	text := "1"
	for range n {
		text = `{"a":` + text + `}`
	}
	return text
}

// A byte order mark before the body, a field's name or its JSON is skipped. The signature covers the field as received.
func TestAByteOrderMarkIsSkipped(t *testing.T) {
	t.Parallel()
	const bom, esc = "\ufeff", "%EF%BB%BF"
	key, certificate := newKey(t)
	sign := func(data string) string {
		signature, err := esignv1.Sign(key, []byte(data), crypto.SHA1)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	w := newWebhook(t, esignv1.Webhook{Certificate: certificate})
	data, query := "["+good+"]", url.QueryEscape
	part := func(name, value string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	multipart := func(body string) pack.Request {
		r := post("/all", body+"--b--\r\n")
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		return r
	}
	signed := post("/signed", "json_signed="+query(bom+`{"uuid":"D","name":"Lease"}`))
	signed.Header.Set("X-Signed", sign(bom+`{"uuid":"D","name":"Lease"}`))
	want := events(t, w, post("/all", "data="+query(data)+"&signed="+query(sign(data))), rsaSig)[0].GetId()
	for name, r := range map[string]pack.Request{
		"before the body":         post("/all", bom+"data="+query(data)+"&signed="+query(sign(data))),
		"before an escaped name":  post("/all", "signed="+query(sign(data))+"&"+esc+"data="+query(data)),
		"before both names":       post("/all", esc+"data="+query(data)+"&"+bom+"signed="+query(sign(data))),
		"before the data":         post("/all", "data="+query(bom+data)+"&signed="+query(sign(bom+data))),
		"before an item":          post("/all", "data="+query("["+bom+good+"]")+"&signed="+query(sign("["+bom+good+"]"))),
		"before a multipart form": multipart(bom + part("data", data) + part("signed", sign(data))),
		"before a part's data":    multipart(part("data", bom+data) + part("signed", sign(bom+data))),
		"before a part's name":    multipart(part(bom+"data", data) + part("signed", sign(data))),
		"before json_signed":      signed,
	} {
		v, err := w.Verify(r)
		if err != nil || v.By != rsaSig {
			t.Errorf("%s: %v, %v", name, v, err)
			continue
		}
		e := events(t, w, r, v.By)[0]
		if r.Route == "/all" && e.GetId() != want || r.Route == "/signed" && e.GetDocument().GetTitle() != "Lease" {
			t.Errorf("%s: %v", name, e)
		}
	}
	// The mark is among the signed bytes: a signature without it belongs to another text.
	forged := post("/all", "data="+query(bom+data)+"&signed="+query(sign(data)))
	if _, err := w.Verify(forged); !errors.Is(err, pack.ErrUnauthentic) {
		t.Errorf("a mark that was not signed: %v", err)
	}
	twice := post("/all", "data="+query(data)+"&"+esc+"data=%5B%5D&signed="+query(sign(data)))
	if _, err := w.Verify(twice); !errors.Is(err, pack.ErrUnauthentic) {
		t.Errorf("two data fields, one after a mark: %v", err)
	}
	utf16 := "d\x00a\x00t\x00a\x00=\x00"
	for _, body := range []string{utf16, "\xff\xfe" + utf16, "\xfe\xff\x00d", "\x00d\x00a", "data=%FF%FE%5B%00%5D%00"} {
		_, err := newWebhook(t, esignv1.Webhook{Token: "demo"}).Normalize(post("/all", body), token)
		u := new(pack.UnreadableError)
		if !errors.As(err, &u) {
			t.Fatal(err)
		}
		if diff := cmp.Diff("utf-16", u.Reason); diff != "" {
			t.Errorf("%q: %s", body, diff)
		}
	}
}
