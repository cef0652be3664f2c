package overlay

import (
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// restricted are Kubernetes' own checks of the restricted profile.
var restricted = sync.OnceValues(func() (policy.Evaluator, error) {
	return policy.NewEvaluator(policy.DefaultChecks(), nil)
})

// checkProfile says what of a template the restricted profile forbids: what a namespace with that label would refuse, pod by pod, only later.
func checkProfile(template corev1.PodTemplateSpec, at *field.Path) (errs field.ErrorList) {
	evaluator, err := restricted()
	if err != nil {
		return field.ErrorList{field.InternalError(at, err)}
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec) {
		if result.Allowed {
			continue
		}
		errs = append(errs, field.Forbidden(offender(template.Spec, result.ForbiddenDetail, at.Child("spec")),
			fmt.Sprintf("breaks the restricted pod security profile: %s: %s", result.ForbiddenReason, result.ForbiddenDetail)))
	}
	return errs
}

// offender is the one container that a finding names, or else the pod.
func offender(spec corev1.PodSpec, detail string, at *field.Path) *field.Path {
	found, path := 0, at
	look := func(containers []corev1.Container, in *field.Path) {
		for _, c := range containers {
			if strings.Contains(detail, `"`+c.Name+`"`) {
				found++
				path = in.Key(c.Name)
			}
		}
	}
	look(spec.Containers, at.Child("containers"))
	look(spec.InitContainers, at.Child("initContainers"))
	if found == 1 {
		return path
	}
	return at
}
