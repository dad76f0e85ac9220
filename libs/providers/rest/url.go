package rest

import "encoding/json"

// URLIn reads an answer that is {"url": …} and perhaps more; empty where it is none.
func URLIn(body []byte) string {
	var found struct {
		URL Text `json:"url"`
	}
	if json.Unmarshal(body, &found) != nil {
		return ""
	}
	return string(found.URL)
}
