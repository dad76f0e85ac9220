package vonage

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// Errors of parameters never quote a parameter, because one of them is a phone number.
var (
	errType     = errors.New("want a form or JSON")
	errForm     = errors.New("not a form")
	errJSON     = errors.New("not a JSON object")
	errValue    = errors.New("a value that is neither text nor a number")
	errRepeated = errors.New("a parameter that appears twice")
	errName     = errors.New("a name that contains & or =")
)

// parameters reads a request from Vonage, in each of the forms that its dashboard offers: GET with a query, POST with a form, POST
// with JSON. A POST without a body has a query too.
func parameters(r *http.Request, body []byte) (p map[string]string, err error) {
	media := ""
	if header := r.Header.Get("Content-Type"); header != "" {
		if media, _, err = mime.ParseMediaType(header); err != nil {
			return nil, errType
		}
	}
	switch {
	case r.Method == http.MethodGet || len(body) == 0:
		p, err = formParameters(r.URL.RawQuery)
	case media == "application/json":
		p, err = jsonParameters(body)
	case media == "" || media == "application/x-www-form-urlencoded":
		p, err = formParameters(string(body))
	default:
		return nil, errType
	}
	if err != nil {
		return nil, err
	}
	for name := range p {
		if strings.ContainsAny(name, "&=") { // it has the same signature as two parameters
			return nil, errName
		}
	}
	return p, nil
}

func formParameters(text string) (map[string]string, error) {
	form, err := url.ParseQuery(text)
	if err != nil {
		return nil, errForm
	}
	p := make(map[string]string, len(form))
	for name, values := range form {
		if len(values) > 1 {
			return nil, errRepeated
		}
		p[name] = values[0]
	}
	return p, nil
}

func jsonParameters(text []byte) (map[string]string, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil || object == nil {
		return nil, errJSON
	}
	p := make(map[string]string, len(object))
	for name, raw := range object {
		var value string
		if err := json.Unmarshal(raw, &value); err == nil && raw[0] == '"' {
			p[name] = value
			continue
		}
		var number json.Number
		if err := json.Unmarshal(raw, &number); err != nil || number == "" {
			return nil, errValue
		}
		p[name] = number.String()
	}
	return p, nil
}
