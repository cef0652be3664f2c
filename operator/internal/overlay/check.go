package overlay

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What users may set of a pod. What is not listed is the operator's, also what Kubernetes adds in the years to come.
var (
	ofPod = []string{
		"affinity", "containers", "dnsConfig", "dnsPolicy", "hostAliases", "hostUsers", "initContainers", "nodeSelector", "preemptionPolicy",
		"priorityClassName", "readinessGates", "resourceClaims", "runtimeClassName", "schedulerName", "terminationGracePeriodSeconds", "tolerations",
		"topologySpreadConstraints", "volumes",
		"hostIPC", "hostNetwork", "hostPID", "securityContext", // within the restricted profile
	}
	// ofOurs is what they may set of the operator's own containers.
	ofOurs = []string{"env", "name", "securityContext", "terminationMessagePath", "terminationMessagePolicy", "volumeMounts"}
	// settings of chatd that no field of spec is about, by how their variables begin.
	settings = []string{
		"CHATD_ALLOW_ORIGIN", "CHATD_FULL_AT", "CHATD_HTTP_", "CHATD_LIMITS_", "CHATD_LOG_", "CHATD_RING_", "CHATD_SESSION_", "CHATD_TRUSTED_PROXIES",
	}
)

// instead says what to do about a field that is the operator's.
var instead = map[string]string{
	"spec.activeDeadlineSeconds":         "a pod that ends by itself sends its sessions away for nothing: remove it",
	"spec.automountServiceAccountToken":  "chatd does not speak to the API server: mount a projected token into your own container",
	"spec.hostname":                      "names of members are the operator's: remove it",
	"spec.imagePullSecrets":              "use spec.imagePullSecrets",
	"spec.nodeName":                      "a pod with a node's name is not scheduled: use nodeSelector or affinity",
	"spec.restartPolicy":                 "members are always restarted: remove it",
	"spec.serviceAccountName":            "the operator makes one for each role: bind your role to that one",
	"spec.shareProcessNamespace":         "other containers could read chatd's secrets: remove it",
	"spec.subdomain":                     "names of members are the operator's: remove it",
	"spec.containers.args":               "chatd is started by the operator: set its settings as variables, CHATD_LOG_FORMAT and its like, in env",
	"spec.containers.command":            "chatd is started by the operator: use spec.image for another build of it",
	"spec.containers.envFrom":            "what is in it cannot be checked: name the variables one by one in env",
	"spec.containers.image":              "use spec.image",
	"spec.containers.imagePullPolicy":    "use spec.imagePullPolicy",
	"spec.containers.lifecycle":          "chatd drains by itself on SIGTERM, and a hook would only hold that up: remove it",
	"spec.containers.livenessProbe":      "probes are the operator's, since drains and roll-outs go by them: remove it",
	"spec.containers.ports":              "chatd's ports are the operator's: use spec.access.service.ports for clients",
	"spec.containers.readinessProbe":     "probes are the operator's, since drains and roll-outs go by them: remove it",
	"spec.containers.resources":          "use spec.store.resources or spec.shards.resources",
	"spec.containers.startupProbe":       "probes are the operator's, since drains and roll-outs go by them: remove it",
	"metadata.name":                      "names of members are the operator's: remove it",
	"metadata.namespace":                 "members are in the namespace of their ChatCluster: remove it",
	"metadata.finalizers":                "pods have to be able to go when nobody is there to finalize them: remove it",
	"spec.ephemeralContainers":           "they are for pods that run: use kubectl debug",
	"spec.enableServiceLinks":            "chatd refuses variables that begin with CHATD_ and are none of its settings: remove it",
	"spec.topologySpreadConstraints.key": "the operator spreads pods by this key already: use spec.topology",
}

// check finds what is the operator's own. The tree tells what is there from what is zero.
func check(base, wanted corev1.PodTemplateSpec, tree map[string]any, at *field.Path) (errs field.ErrorList) {
	for _, name := range keys(tree) {
		if name != "metadata" && name != "spec" {
			errs = append(errs, field.Forbidden(at.Child(name), "a pod template has metadata and spec: remove it"))
		}
	}
	errs = append(errs, checkMetadata(base, wanted, section(tree, "metadata"), at.Child("metadata"))...)
	spec := at.Child("spec")
	errs = append(errs, only(ofPod, section(tree, "spec"), "spec", spec)...)
	if grace, least := wanted.Spec.TerminationGracePeriodSeconds, base.Spec.TerminationGracePeriodSeconds; grace != nil && least != nil && *grace < *least {
		errs = append(errs, field.Invalid(spec.Child("terminationGracePeriodSeconds"), *grace,
			fmt.Sprintf("is shorter than the drain and its margin, %d s, so sessions would be cut: remove it, or shorten spec.shards.drain.timeoutSeconds", *least)))
	}
	for i, c := range wanted.Spec.TopologySpreadConstraints {
		if slices.ContainsFunc(base.Spec.TopologySpreadConstraints, func(b corev1.TopologySpreadConstraint) bool { return b.TopologyKey == c.TopologyKey }) {
			errs = append(errs, field.Forbidden(spec.Child("topologySpreadConstraints").Index(i).Child("topologyKey"), instead["spec.topologySpreadConstraints.key"]))
		}
	}
	o := owned(base)
	for i, v := range wanted.Spec.Volumes {
		if o.volumes[v.Name] {
			errs = append(errs, field.Forbidden(spec.Child("volumes").Index(i).Child("name"), "the volume "+v.Name+" is the operator's: choose another name"))
		}
	}
	errs = append(errs, o.checkContainers(wanted.Spec.Containers, list(section(tree, "spec"), "containers"), o.containers, spec.Child("containers"))...)
	errs = append(errs, o.checkContainers(wanted.Spec.InitContainers, list(section(tree, "spec"), "initContainers"), o.initContainers, spec.Child("initContainers"))...)
	return append(errs, uniqueNames(wanted.Spec, spec)...)
}

func checkMetadata(base, wanted corev1.PodTemplateSpec, tree map[string]any, at *field.Path) (errs field.ErrorList) {
	errs = only([]string{"annotations", "labels"}, tree, "metadata", at)
	const taken = "is the operator's: choose another key"
	for _, key := range slices.Sorted(maps.Keys(wanted.Labels)) {
		_, ours := base.Labels[key]
		if domain, _, _ := strings.Cut(key, "/"); ours || reserved(key) || domain == "apps.kubernetes.io" || domain == "statefulset.kubernetes.io" ||
			key == "controller-revision-hash" || key == "pod-template-hash" {
			errs = append(errs, field.Forbidden(at.Child("labels").Key(key), taken))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(wanted.Annotations)) {
		if _, ours := base.Annotations[key]; ours || reserved(key) {
			errs = append(errs, field.Forbidden(at.Child("annotations").Key(key), taken))
		}
	}
	return errs
}

// reserved says that a key is in this project's domain, or below it.
func reserved(key string) bool {
	domain, _, _ := strings.Cut(key, "/")
	return domain == "chatfleet.io" || strings.HasSuffix(domain, ".chatfleet.io")
}

// ours is what the template underneath has.
type ours struct {
	containers, initContainers, volumes, portNames map[string]bool
	ports                                          map[int32]bool
	// env and mounts by container.
	env, mounts map[string][]string
}

func owned(base corev1.PodTemplateSpec) ours {
	o := ours{containers: map[string]bool{}, initContainers: map[string]bool{}, volumes: map[string]bool{}, portNames: map[string]bool{},
		ports: map[int32]bool{}, env: map[string][]string{}, mounts: map[string][]string{}}
	for _, v := range base.Spec.Volumes {
		o.volumes[v.Name] = true
	}
	for _, c := range base.Spec.InitContainers {
		o.initContainers[c.Name] = true
	}
	for _, c := range base.Spec.Containers {
		o.containers[c.Name] = true
	}
	for _, c := range slices.Concat(base.Spec.InitContainers, base.Spec.Containers) {
		for _, p := range c.Ports {
			o.ports[p.ContainerPort], o.portNames[p.Name] = true, true
		}
		for _, e := range c.Env {
			o.env[c.Name] = append(o.env[c.Name], e.Name)
		}
		for _, m := range c.VolumeMounts {
			o.volumes[m.Name] = true // of a StatefulSet, some volumes stand outside of the template
			o.mounts[c.Name] = append(o.mounts[c.Name], m.MountPath)
		}
	}
	delete(o.portNames, "")
	return o
}

func (o ours) checkContainers(wanted []corev1.Container, trees []any, own map[string]bool, at *field.Path) (errs field.ErrorList) {
	for i, c := range wanted {
		here := at.Index(i)
		if own[c.Name] {
			tree, _ := trees[i].(map[string]any)
			errs = append(errs, only(ofOurs, tree, "spec.containers", here)...)
			errs = append(errs, o.checkEnv(c, here.Child("env"))...)
		} else {
			errs = append(errs, o.checkOther(c, here)...)
		}
		for j, m := range c.VolumeMounts {
			mount := here.Child("volumeMounts").Index(j)
			if o.volumes[m.Name] {
				errs = append(errs, field.Forbidden(mount.Child("name"), "the volume "+m.Name+" is the operator's: mount one of your own"))
			}
			for _, taken := range o.mounts[c.Name] {
				if within(taken, m.MountPath) || within(m.MountPath, taken) {
					errs = append(errs, field.Forbidden(mount.Child("mountPath"), "hides or is hidden by what the operator mounts at "+taken+": choose another path"))
				}
			}
		}
	}
	return errs
}

// checkEnv of one of the operator's containers.
func (o ours) checkEnv(c corev1.Container, at *field.Path) (errs field.ErrorList) {
	for i, e := range c.Env {
		free := slices.ContainsFunc(settings, func(s string) bool { return e.Name == s || strings.HasSuffix(s, "_") && strings.HasPrefix(e.Name, s) })
		switch {
		case slices.Contains(o.env[c.Name], e.Name):
			errs = append(errs, field.Forbidden(at.Index(i).Child("name"), e.Name+" is set by the operator: remove it, and look for a field of spec instead"))
		case strings.HasPrefix(e.Name, "CHATD_") && !free:
			errs = append(errs, field.Forbidden(at.Index(i).Child("name"), e.Name+" is the operator's: use the field of spec that is about it. What may be set here begins with "+
				strings.Join(settings, ", ")))
		}
	}
	return errs
}

// checkOther is about a container that is the user's own.
func (o ours) checkOther(c corev1.Container, at *field.Path) (errs field.ErrorList) {
	switch {
	case o.containers[c.Name] || o.initContainers[c.Name]:
		errs = append(errs, field.Forbidden(at.Child("name"), "a container of the operator has this name: choose another one"))
	case c.Name == "":
		errs = append(errs, field.Required(at.Child("name"), "containers are matched by name; that of chatd is chatd"))
	case c.Image == "":
		errs = append(errs, field.Required(at.Child("image"), "no container of the operator is called "+c.Name+", so it is your own and needs an image"))
	}
	for i, p := range c.Ports {
		if o.ports[p.ContainerPort] || o.portNames[p.Name] {
			errs = append(errs, field.Forbidden(at.Child("ports").Index(i), "chatd has this port or name: choose another one"))
		}
	}
	return errs
}

// uniqueNames refuses what strategic merge would make one of.
func uniqueNames(spec corev1.PodSpec, at *field.Path) (errs field.ErrorList) {
	seen := map[string]bool{}
	for i, c := range spec.Containers {
		if seen[c.Name] {
			errs = append(errs, field.Duplicate(at.Child("containers").Index(i).Child("name"), c.Name))
		}
		seen[c.Name] = true
	}
	for i, c := range spec.InitContainers {
		if seen[c.Name] {
			errs = append(errs, field.Duplicate(at.Child("initContainers").Index(i).Child("name"), c.Name))
		}
		seen[c.Name] = true
	}
	return errs
}

// only refuses what is not listed; what names the place in the table of what to do instead.
func only(listed []string, tree map[string]any, what string, at *field.Path) (errs field.ErrorList) {
	for _, name := range keys(tree) {
		if slices.Contains(listed, name) {
			continue
		}
		why, ok := instead[what+"."+name]
		if !ok {
			why = "is the operator's: remove it"
		}
		errs = append(errs, field.Forbidden(at.Child(name), why))
	}
	return errs
}

// within says that path b is a, or below it.
func within(a, b string) bool {
	a, b = path.Clean("/"+a), path.Clean("/"+b)
	return a == b || strings.HasPrefix(b, strings.TrimSuffix(a, "/")+"/")
}

// withAll is list with what it lacks of others.
func withAll[T any](list, others []T) []T {
	for _, o := range others {
		if !slices.ContainsFunc(list, func(l T) bool { return equality.Semantic.DeepEqual(l, o) }) {
			list = append(list, o)
		}
	}
	return list
}

func keys(tree map[string]any) []string { return slices.Sorted(maps.Keys(tree)) }

func section(tree map[string]any, name string) map[string]any {
	below, _ := tree[name].(map[string]any)
	return below
}

func list(tree map[string]any, name string) []any {
	below, _ := tree[name].([]any)
	return below
}
