package ingest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// callback is an authentic callback or one item of a batch: live, or replayed from the quarantine.
type callback struct {
	request  pack.Request
	verified pack.Verified
	changed  repaired
	kept     *signingv1.Callback // the request as the log keeps it; nil if it keeps none
	replayed bool                // it comes from the quarantine, and may be older than the dedupe store's data
}

// accept processes all authentic callbacks, live and replayed. It checks the size, reads them with the pack, and stores them. It recovers
// from a panic of the pack.
func accept(ctx context.Context, env service.Env, s *store, src source, c callback) response {
	if largest := largestBody(env); int64(max(len(c.request.Body), len(c.request.RawQuery))) > largest {
		return tooLarge(largest)
	}
	got := read(ctx, env, src, c)
	if !c.replayed {
		return s.putNow(ctx, src, got)
	}
	if len(got.unreadable) == 1 && got.unreadable[0].batch == nil {
		return quarantined(got.unreadable[0].why) // it is already in quarantine
	}
	return s.putLate(ctx, src, got)
}

// tooLarge refuses a body or a query that is larger than the limit.
func tooLarge(largest int64) response {
	return problemResponse(http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf("The body is larger than the limit of %d bytes.", largest))
}
