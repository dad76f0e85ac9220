package esignv1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// readForm reads the form in a request's body. It does not read the query. Values are decoded and otherwise unchanged: the signature covers
// their bytes.
func readForm(r pack.Request) (url.Values, error) {
	if err := pack.CheckUTF16(r.Body); err != nil {
		return nil, err
	}
	if !isMultipart(r) {
		values, err := pack.ParseForm(string(r.Body))
		if err != nil {
			return nil, notAForm("the body's escapes are broken")
		}
		return values, nil
	}
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, notAForm("the Content-Type names no boundary")
	}
	values := url.Values{}
	parts := multipart.NewReader(bytes.NewReader(pack.TrimBOM(r.Body)), params["boundary"])
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			// The multipart reader accepts the end of the body as the end of the form.
			if !bytes.Contains(r.Body, []byte("--"+params["boundary"]+"--")) {
				return nil, notAForm("its last boundary is missing")
			}
			return values, nil
		}
		if err != nil {
			return nil, notAForm(fmt.Sprintf("part %d is broken", n))
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, notAForm(fmt.Sprintf("part %d is cut off", n))
		}
		values.Add(string(pack.TrimBOM([]byte(part.FormName()))), string(value))
	}
}

func isMultipart(r pack.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return kind == "multipart/form-data"
}

func notAForm(why string) error { return &pack.UnreadableError{Reason: "not-a-form", Detail: why} }

// one returns the value of a field that may occur only once. With two values, one could be verified and the other one read.
func one(form url.Values, name string) (value string, there bool, err error) {
	switch values := form[name]; len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	default:
		return "", false, &pack.UnreadableError{Reason: "form-ambiguous", Detail: fmt.Sprintf("field %q occurs %d times", name, len(values))}
	}
}
