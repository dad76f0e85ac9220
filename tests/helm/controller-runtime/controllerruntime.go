// Package controllerruntime replaces sigs.k8s.io/controller-runtime in this module. KEDA's types import it for their webhooks, which the tests
// do not run: they only need the types and KEDA's checks. The real module brings 300 packages of Kubernetes' clients, and they took half of
// the time to compile these tests on a new machine. If a new version of KEDA needs more than this, its packages do not compile.
package controllerruntime

import (
	"net/http"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Manager has the methods of a manager that KEDA's webhooks use.
type Manager interface {
	GetFieldIndexer() client.FieldIndexer
	GetEventRecorder(name string) events.EventRecorder
	GetClient() client.Client
	GetRESTMapper() meta.RESTMapper
	GetConfig() *rest.Config
	GetHTTPClient() *http.Client
	GetScheme() *runtime.Scheme
}

// WebhookBuilder builds nothing.
type WebhookBuilder[T runtime.Object] struct{}

// NewWebhookManagedBy returns a builder without a function.
func NewWebhookManagedBy[T runtime.Object](Manager, T) *WebhookBuilder[T] {
	return &WebhookBuilder[T]{}
}

// WithValidator ignores the validator.
func (b *WebhookBuilder[T]) WithValidator(admission.Validator[T]) *WebhookBuilder[T] { return b }

// Complete panics, because there is no webhook here.
func (b *WebhookBuilder[T]) Complete() error { panic("this controller-runtime has no webhooks") }
