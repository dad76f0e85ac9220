// Package client has the declarations of controller-runtime's client that KEDA's types use. No client can be made.
package client

import (
	"context"
	"net/http"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

type (
	// Object is an object of Kubernetes.
	Object interface {
		metav1.Object
		runtime.Object
	}
	// ObjectList is a list of objects.
	ObjectList interface {
		metav1.ListInterface
		runtime.Object
	}
	// ObjectKey is a namespace and a name.
	ObjectKey = types.NamespacedName
	// GetOption is an option of Get.
	GetOption interface{ ApplyToGet(*GetOptions) }
	// GetOptions are no options.
	GetOptions struct{}
	// ListOption is an option of List.
	ListOption interface{ ApplyToList(*ListOptions) }
	// ListOptions select objects.
	ListOptions struct{ Namespace string }
	// InNamespace selects a namespace.
	InNamespace string
	// MatchingFields selects by fields.
	MatchingFields map[string]string
	// Client reads objects.
	Client interface {
		Get(ctx context.Context, key ObjectKey, obj Object, opts ...GetOption) error
		List(ctx context.Context, list ObjectList, opts ...ListOption) error
	}
	// FieldIndexer indexes objects by a field.
	FieldIndexer interface {
		IndexField(ctx context.Context, obj Object, field string, extract func(Object) []string) error
	}
	// Options are the options of New.
	Options struct {
		HTTPClient *http.Client
		Scheme     *runtime.Scheme
		Mapper     meta.RESTMapper
		Cache      *struct{}
	}
)

// ApplyToGet implements GetOption.
func (*GetOptions) ApplyToGet(*GetOptions) {}

// ApplyToList implements ListOption.
func (*ListOptions) ApplyToList(*ListOptions) {}

// ApplyToList implements ListOption.
func (InNamespace) ApplyToList(*ListOptions) {}

// ApplyToList implements ListOption.
func (MatchingFields) ApplyToList(*ListOptions) {}

// New panics, because there is no cluster here.
func New(*rest.Config, Options) (Client, error) { panic("this controller-runtime has no client") }
