package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// Manager is the name of the operator among those who own fields.
const Manager = "chatfleet-operator"

// annotationApplied on what the operator applies holds a hash of what that was, so that what is to be taken away again is noticed.
const annotationApplied = v1alpha1.GroupName + "/applied"

// ensure applies an object unless it is there already as it should be: all that is wanted stands in it, and nothing else was wanted the last time.
// live is an empty object of the same type to read it into.
func (r *round) ensure(ctx context.Context, want, live client.Object) error {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(want)
	if err != nil {
		return fmt.Errorf("convert %s: %w", want.GetName(), err)
	}
	u := &unstructured.Unstructured{Object: fields}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	hash := hashOf(u.Object)
	setAnnotation(u, annotationApplied, hash)
	switch err := r.Get(ctx, client.ObjectKeyFromObject(want), live); {
	case apierrors.IsNotFound(err):
	case err != nil:
		return fmt.Errorf("read the %s %s: %w", u.GetKind(), u.GetName(), err)
	case live.GetAnnotations()[annotationApplied] == hash && holds(live, u.Object):
		return nil
	}
	err = r.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(Manager), client.ForceOwnership)
	if apierrors.IsInvalid(err) && live.GetUID() != "" {
		err = r.replace(ctx, live, u, err)
	}
	if err != nil {
		return fmt.Errorf("apply the %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return nil
}

// replace writes what is wanted over what another has made of it, lists as a whole. Where somebody has changed the key of an element, such as the number of a
// port, applying leaves his beside ours, and the API server refuses both. Where that does not help either, the first refusal is what is told.
func (r *round) replace(ctx context.Context, live client.Object, want *unstructured.Unstructured, refused error) error {
	text, err := want.MarshalJSON()
	if err != nil {
		return err
	}
	if err := r.Patch(ctx, live, client.RawPatch(types.MergePatchType, text), client.FieldOwner(Manager)); err != nil {
		return refused
	}
	return nil
}

// holds says that a live object has all that is wanted. What others have set besides is theirs.
func holds(live client.Object, want map[string]any) bool {
	is, err := runtime.DefaultUnstructuredConverter.ToUnstructured(live)
	if err != nil {
		return false
	}
	for key, value := range want {
		switch key {
		case "apiVersion", "kind":
		default:
			if !equality.Semantic.DeepDerivative(normal(value), normal(is[key])) {
				return false
			}
		}
	}
	return true
}

// normal is a value as JSON reads it, so that numbers compare.
func normal(value any) (out any) {
	text, err := json.Marshal(value)
	if err != nil || json.Unmarshal(text, &out) != nil {
		return value
	}
	return out
}

func hashOf(value any) string {
	text, err := json.Marshal(value) // keys in order
	if err != nil {
		panic(fmt.Sprintf("an object that JSON cannot hold: %v", err)) // it came from a typed one
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func setAnnotation(u *unstructured.Unstructured, key, value string) {
	all := u.GetAnnotations()
	if all == nil {
		all = map[string]string{}
	}
	all[key] = value
	u.SetAnnotations(all)
}
