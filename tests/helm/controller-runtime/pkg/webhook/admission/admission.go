// Package admission has the declarations of controller-runtime's webhooks that KEDA's types use.
package admission

import (
	"context"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

type (
	// Warnings are the warnings of a webhook.
	Warnings []string
	// Request is a request to a webhook.
	Request struct{ admissionv1.AdmissionRequest }
	// Validator validates objects of one type.
	Validator[T runtime.Object] interface {
		ValidateCreate(ctx context.Context, obj T) (Warnings, error)
		ValidateUpdate(ctx context.Context, oldObj, newObj T) (Warnings, error)
		ValidateDelete(ctx context.Context, obj T) (Warnings, error)
	}
)

// RequestFromContext panics, because there are no requests here.
func RequestFromContext(context.Context) (Request, error) {
	panic("this controller-runtime has no webhooks")
}
