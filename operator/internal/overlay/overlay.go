// Package overlay lays what users add to pods (spec.template of a ChatCluster) over the pod template that the operator has made, and refuses
// what must not be there: fields that do not exist, what is the operator's own, and what breaks the restricted pod security profile. Refusals
// name the place and say what to do instead.
//
// It is pure, and is called by whatever renders pods: the controller before it touches anything, `operator plan`, the webhook. What is the
// operator's own is read off the template underneath, so it cannot fall behind; what users may set at all is listed in check.go.
package overlay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
)

// maxBytes of an overlay. It is kept with every revision of a template, and those live in etcd.
const maxBytes = 64 << 10

// Merge lays patch, a PodTemplateSpec in JSON, over base by strategic merge. Refusals are about patch, and at stands before their paths. Without a
// patch (empty, null, {}) the base comes back as it is. Base is not changed.
func Merge(base corev1.PodTemplateSpec, patch []byte, at *field.Path) (corev1.PodTemplateSpec, field.ErrorList) {
	patch = bytes.TrimSpace(patch)
	if len(patch) == 0 || bytes.Equal(patch, []byte("null")) || bytes.Equal(patch, []byte("{}")) {
		return *base.DeepCopy(), nil
	}
	if len(patch) > maxBytes {
		return corev1.PodTemplateSpec{}, field.ErrorList{field.TooLong(at, "", maxBytes)}
	}
	wanted, tree, errs := decode(patch, at)
	if len(errs) > 0 {
		return corev1.PodTemplateSpec{}, errs
	}
	if errs := check(base, wanted, tree, at); len(errs) > 0 {
		return corev1.PodTemplateSpec{}, errs
	}
	merged, err := merge(base, patch)
	if err != nil {
		return corev1.PodTemplateSpec{}, field.ErrorList{field.Invalid(at, field.OmitValueType{}, err.Error())}
	}
	keepLists(base, &merged)
	if errs := checkProfile(merged, at); len(errs) > 0 {
		return corev1.PodTemplateSpec{}, errs
	}
	return merged, nil
}

// decode reads a patch twice: as a template, strictly, and as a tree that tells what is there from what is zero.
func decode(patch []byte, at *field.Path) (corev1.PodTemplateSpec, map[string]any, field.ErrorList) {
	var tree map[string]any
	if err := json.Unmarshal(patch, &tree); err != nil {
		return corev1.PodTemplateSpec{}, nil, field.ErrorList{field.Invalid(at, field.OmitValueType{}, "is no pod template (metadata, spec): "+err.Error())}
	}
	errs := removals(tree, at)
	var wanted corev1.PodTemplateSpec
	strict, err := kjson.UnmarshalStrict(patch, &wanted)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		errs = append(errs, field.Invalid(at.Child(wrongType.Field), field.OmitValueType{}, fmt.Sprintf("is a %s: see kubectl explain pod.%s", wrongType.Value, wrongType.Field)))
	case err != nil:
		errs = append(errs, field.Invalid(at, field.OmitValueType{}, err.Error()))
	}
	for _, e := range strict {
		var where kjson.FieldError
		if !errors.As(e, &where) {
			errs = append(errs, field.Invalid(at, field.OmitValueType{}, e.Error()))
			continue
		}
		path := where.FieldPath()
		if name := path[strings.LastIndexByte(path, '.')+1:]; strings.HasPrefix(name, "$") {
			continue // told by removals
		}
		what := "there is no such field: look for the right name in kubectl explain pod, or remove it"
		if strings.HasPrefix(e.Error(), "duplicate field") {
			what = "is there twice: remove one of them"
		}
		errs = append(errs, field.Invalid(at.Child(path), field.OmitValueType{}, what))
	}
	return wanted, tree, errs
}

// removals finds what would take something away from the template underneath: null, and the directives of strategic merge.
func removals(value any, at *field.Path) (errs field.ErrorList) {
	const why = "an overlay adds and changes, and takes nothing away: remove this, and set the value that it is to have"
	switch v := value.(type) {
	case nil:
		return field.ErrorList{field.Forbidden(at, why)}
	case []any:
		for i, element := range v {
			errs = append(errs, removals(element, at.Index(i))...)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if strings.HasPrefix(key, "$") {
				errs = append(errs, field.Forbidden(at.Child(key), why))
				continue
			}
			errs = append(errs, removals(v[key], at.Child(key))...)
		}
	}
	return errs
}

func merge(base corev1.PodTemplateSpec, patch []byte) (merged corev1.PodTemplateSpec, err error) {
	raw, err := json.Marshal(base)
	if err != nil {
		return merged, err
	}
	if raw, err = strategicpatch.StrategicMergePatch(raw, patch, corev1.PodTemplateSpec{}); err != nil {
		return merged, err
	}
	return merged, json.Unmarshal(raw, &merged)
}

// keepLists gives back what merging has replaced: lists without a merge key. How long a pod stays on a lost node, and that stores do not share
// a node, is not to be lost to somebody's toleration or affinity.
func keepLists(base corev1.PodTemplateSpec, merged *corev1.PodTemplateSpec) {
	same := func(a, b corev1.Toleration) bool { return a.Key == b.Key && a.Effect == b.Effect }
	for _, t := range base.Spec.Tolerations {
		if !slices.ContainsFunc(merged.Spec.Tolerations, func(m corev1.Toleration) bool { return same(m, t) }) {
			merged.Spec.Tolerations = append(merged.Spec.Tolerations, t)
		}
	}
	if base.Spec.Affinity == nil || base.Spec.Affinity.PodAntiAffinity == nil {
		return
	}
	was, is := base.Spec.Affinity.PodAntiAffinity, merged.Spec.Affinity.PodAntiAffinity
	is.RequiredDuringSchedulingIgnoredDuringExecution = withAll(is.RequiredDuringSchedulingIgnoredDuringExecution, was.RequiredDuringSchedulingIgnoredDuringExecution)
	is.PreferredDuringSchedulingIgnoredDuringExecution = withAll(is.PreferredDuringSchedulingIgnoredDuringExecution, was.PreferredDuringSchedulingIgnoredDuringExecution)
}
