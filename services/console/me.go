package console

import "time"

var mePages = []Page{
	{"GET", "/me", Look, "", nil, mePage},
}

// Act is one action of a user.
type Act struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
	Why  string    `json:"why,omitempty"`
	On   string    `json:"on,omitempty"` // the path of what it changed
}

type meData struct {
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
	Via   string   `json:"via"`
	Acts  []Act    `json:"acts"`
}

// mePage shows who the reader is, and what the reader did.
func mePage(r *Request) (View, error) {
	data := meData{Name: r.Reader.Name, Roles: r.Reader.Roles.Names(), Via: r.Reader.Via, Acts: []Act{}}
	jobs, err := r.Console.operator.Jobs(r.Context())
	if err != nil {
		return View{}, err
	}
	for _, j := range jobs {
		if j.By == r.user() {
			data.Acts = append(data.Acts, Act{At: j.Started, What: jobTitle(j), Why: j.Reason, On: "/jobs/" + j.ID})
		}
	}
	return View{Template: "me", Title: "What I did", Data: data}, nil
}
