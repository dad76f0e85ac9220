package security

// The providers' answers about a document, in their own words. A field is whatever text the attack puts into it.

type signer struct{ ID, First, Last, Email, Mobile, SigningURL string }

// request is Clickwrap's answer. Its signers want letters and texts, as far as they have addresses.
func request(title string, people ...signer) map[string]any {
	list := []any{}
	for _, p := range people {
		if p.SigningURL == "" {
			p.SigningURL = "https://sign.provider.example/" + p.ID
		}
		list = append(list, map[string]any{
			"signer_id": p.ID, "request_url": p.SigningURL,
			"signer":  map[string]string{"first_name": p.First, "last_name": p.Last, "email": p.Email, "mobile_number": p.Mobile},
			"send_to": map[string]bool{"email": p.Email != "", "mobile_number": p.Mobile != ""},
		})
	}
	return map[string]any{"name": title, "signers": list}
}

type person struct{ ID, First, Last, Email, Mobile string }

// paper is PleaseSign's answer; its recipients are silent, so that they are ours to tell.
func paper(title string, people ...person) map[string]any {
	list := []any{}
	for _, p := range people {
		list = append(list, map[string]any{
			"id": p.ID, "first_name": p.First, "last_name": p.Last, "email": p.Email, "mobile": p.Mobile, "status": "sent", "silent": true, "routing": 1,
		})
	}
	return map[string]any{"title": title, "status": "sent", "recipients": list}
}

type party struct{ ID, First, Last, Email, Tel string }

// deed is the eSignature API's answer.
func deed(title string, people ...party) map[string]any {
	list := []any{}
	for _, p := range people {
		list = append(list, map[string]any{
			"uuid": p.ID, "firstname": p.First, "lastname": p.Last, "email": p.Email, "tel": p.Tel, "status": "10", "order": 0,
		})
	}
	return map[string]any{"name": title, "status": "10", "do_email": false, "signers_in_order": false, "signer_objects": list}
}
