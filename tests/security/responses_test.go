package security

// These functions return the providers' responses about a document, in their formats. The attack chooses the text of each field.

type signer struct{ ID, First, Last, Email, Mobile, SigningURL string }

// clickwrapRequest returns Clickwrap's response. Its signers get e-mails and texts, as far as they have addresses.
func clickwrapRequest(title string, people ...signer) map[string]any {
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

// pleasesignDocument returns PleaseSign's response. PleaseSign itself does not notify its recipients (silent), so we do.
func pleasesignDocument(title string, people ...person) map[string]any {
	list := []any{}
	for _, p := range people {
		list = append(list, map[string]any{
			"id": p.ID, "first_name": p.First, "last_name": p.Last, "email": p.Email, "mobile": p.Mobile, "status": "sent", "silent": true, "routing": 1,
		})
	}
	return map[string]any{"title": title, "status": "sent", "recipients": list}
}

type party struct{ ID, First, Last, Email, Tel string }

// esignDocument returns the eSignature API's response.
func esignDocument(title string, people ...party) map[string]any {
	list := []any{}
	for _, p := range people {
		list = append(list, map[string]any{
			"uuid": p.ID, "firstname": p.First, "lastname": p.Last, "email": p.Email, "tel": p.Tel, "status": "10", "order": 0,
		})
	}
	return map[string]any{"name": title, "status": "10", "do_email": false, "signers_in_order": false, "signer_objects": list}
}
