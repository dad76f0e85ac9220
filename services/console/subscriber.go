package console

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
)

var subscriberPages = []Page{
	{"GET", "/subscribers", Look, "", nil, subscribersPage},
}

// Team is a reader of the log that is no stage: a consumer in our account, or the copy of the log in another account.
type Team struct {
	Name    string    `json:"name"`
	Copy    bool      `json:"copy"` // it feeds a copy in the account of a team; the server does not tell which
	Filters []string  `json:"filters"`
	Behind  uint64    `json:"behind,string"` // events of the log that it has not received
	Unacked int       `json:"unacked"`
	Last    time.Time `json:"last_delivery,omitzero"`
	LastAck time.Time `json:"last_ack,omitzero"`
	Created time.Time `json:"created"`
}

// teams returns the readers of the log. A client's own consumers on a copy are in its account, where we do not see them.
func (s *Server) teams(ctx context.Context) ([]Team, error) {
	stream, err := s.env.JS.Stream(ctx, flow.Signing)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", flow.Signing, err)
	}
	teams := []Team{}
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if slices.ContainsFunc(flow.Stages, func(stage flow.Stage) bool { return stage.Name == info.Name }) {
			continue
		}
		t := Team{
			Name: info.Name, Copy: strings.HasPrefix(info.Config.DeliverSubject, flow.CopyDelivery), Filters: append([]string{}, info.Config.FilterSubjects...),
			Behind: info.NumPending, Unacked: info.NumAckPending, Created: info.Created.UTC(),
		}
		if info.Config.FilterSubject != "" {
			t.Filters = []string{info.Config.FilterSubject}
		}
		if last := info.Delivered.Last; last != nil {
			t.Last = last.UTC()
		}
		if last := info.AckFloor.Last; last != nil {
			t.LastAck = last.UTC()
		}
		teams = append(teams, t)
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list the readers of the log: %w", err)
	}
	slices.SortFunc(teams, func(a, b Team) int { return strings.Compare(a.Name, b.Name) })
	return teams, nil
}

type subscribersData struct {
	Teams []Team     `json:"teams"`
	Kafka *StageView `json:"kafka,omitempty"`
}

func subscribersPage(r *Request) (View, error) {
	teams, err := r.Console.teams(r.Context())
	if err != nil {
		return View{}, err
	}
	data := subscribersData{Teams: teams}
	for _, state := range r.Console.sampler.snapshot().Stages {
		if v := viewOf(state, r.Now); state.Name == flow.KafkaBridge && v.State != "off" {
			data.Kafka = &v
		}
	}
	title := counted(len(teams), "team") + " " + verb(uint64(len(teams)), "reads", "read") + " the log"
	if len(teams) == 0 {
		title = "No team reads the log over NATS"
	}
	return View{Template: "subscribers", Title: title, Live: true, Data: data}, nil
}
