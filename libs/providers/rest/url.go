package rest

import "encoding/json"

// URLIn returns the url of a JSON response {"url": …}; empty if there is none.
func URLIn(body []byte) string {
	var found struct {
		URL Text `json:"url"`
	}
	if json.Unmarshal(body, &found) != nil {
		return ""
	}
	return string(found.URL)
}
