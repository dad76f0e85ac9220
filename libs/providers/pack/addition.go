package pack

import (
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// UpdatesAttribute names, on an event of the type document.updated, the id of the event that it adds to.
const UpdatesAttribute = "signrelay.updates"

// Addition compares a second report of a fact with the event in the log (docs/adr/0017). If the report adds something to known, Addition
// returns the whole report as a separate event, otherwise nil. Its id is a function of the fact and of the report's content, so a retry of
// the report gets the same id. Attributes that describe the delivery and not the fact do not count, because they may differ between retries.
// Without known, the whole report is new.
func Addition(known, second *signingv1.SigningEvent, delivery ...string) *signingv1.SigningEvent {
	if second.GetType() == event.DocumentUpdated || second.GetType() == event.EndpointTested {
		return nil
	}
	reported, before := contents(second, delivery), contents(known, delivery)
	maps.DeleteFunc(reported, func(_, text string) bool { return text == "" })
	adds := slices.ContainsFunc(slices.Collect(maps.Keys(reported)), func(place string) bool { return before[place] != reported[place] })
	if !adds {
		return nil
	}
	update := proto.CloneOf(second)
	update.Type = event.DocumentUpdated
	if update.Attributes == nil {
		update.Attributes = map[string]string{}
	}
	update.Attributes[UpdatesAttribute] = second.GetId()
	parts := []string{second.GetId()}
	for _, place := range slices.Sorted(maps.Keys(reported)) {
		parts = append(parts, place, reported[place])
	}
	update.Id = event.OccurrenceID(update, parts...)
	return update
}

// Differences returns the places in which two reports of a fact differ, sorted: "document.title", "attributes.tag". It ignores the same places as
// Addition.
func Differences(one, other *signingv1.SigningEvent, delivery ...string) []string {
	a, b := contents(one, delivery), contents(other, delivery)
	var places []string
	for _, place := range slices.Sorted(maps.Keys(a)) {
		if a[place] != b[place] {
			places = append(places, place)
		}
	}
	for _, place := range slices.Sorted(maps.Keys(b)) {
		if _, both := a[place]; !both && b[place] != "" {
			places = append(places, place)
		}
	}
	slices.Sort(places)
	return places
}

// Distinct returns a callback's events with each id once. A repeated event is replaced by its Addition to the first, and
// dropped if it adds nothing.
func Distinct(events []*signingv1.SigningEvent, delivery ...string) []*signingv1.SigningEvent {
	seen := make(map[string]*signingv1.SigningEvent, len(events))
	distinct := make([]*signingv1.SigningEvent, 0, len(events))
	for _, e := range events {
		if first := seen[e.GetId()]; first != nil {
			if e = Addition(first, e, delivery...); e == nil || seen[e.GetId()] != nil {
				continue
			}
		}
		seen[e.GetId()] = e
		distinct = append(distinct, e)
	}
	return distinct
}

// receipt lists the fields of an event that describe its receipt, and those that its id contains.
var receipt = map[protoreflect.Name]bool{
	"id": true, "source": true, "provider": true, "type": true, "provider_type": true, "provider_event_id": true, "received_at": true, "verification": true,
}

// callbackField is the field with the request that reported the fact, which describes the receipt, too.
const callbackField protoreflect.Name = "callback"

// contents returns the texts that describe the fact, by path: "document.title", "attributes.tag".
func contents(e *signingv1.SigningEvent, delivery []string) map[string]string {
	found := map[string]string{}
	if e != nil {
		collect(e.ProtoReflect(), "", found)
	}
	maps.DeleteFunc(found, func(place, _ string) bool {
		name, attribute := strings.CutPrefix(place, "attributes.")
		return receipt[protoreflect.Name(place)] || attribute && (strings.HasPrefix(name, "signrelay.") || slices.Contains(delivery, name))
	})
	return found
}

func collect(m protoreflect.Message, prefix string, found map[string]string) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		place := prefix + string(f.Name())
		switch {
		case f.Name() == callbackField: // up to 1 MiB, which would be copied
		case f.IsMap():
			v.Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
				found[place+"."+key.String()] = v.String()
				return true
			})
		case f.IsList():
			for i := range v.List().Len() {
				if link, ok := v.List().Get(i).Message().Interface().(*signingv1.Link); ok { // the only list that an event has
					found[place+"."+link.GetKind()] = link.GetUrl()
				}
			}
		case f.Message() == nil:
			found[place] = v.String()
		default:
			if t, ok := v.Message().Interface().(*timestamppb.Timestamp); ok {
				found[place] = t.AsTime().Format(time.RFC3339Nano)
			} else {
				collect(v.Message(), place+".", found)
			}
		}
		return true
	})
}
