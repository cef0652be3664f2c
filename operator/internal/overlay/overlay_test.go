package overlay

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// base is a template such as the operator makes.
func base() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"chatfleet.io/role": "shard", "app.kubernetes.io/name": "chatd"}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64(135)),
			SecurityContext:               &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Volumes:                       []corev1.Volume{{Name: "cluster", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}}},
			Tolerations:                   []corev1.Toleration{{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(10))}},
			TopologySpreadConstraints:     []corev1.TopologySpreadConstraint{{TopologyKey: corev1.LabelTopologyZone, MaxSkew: 1, WhenUnsatisfiable: corev1.ScheduleAnyway}},
			Containers: []corev1.Container{{
				Name: "chatd", Image: "chatd:1", Args: []string{"serve"}, Ports: []corev1.ContainerPort{{Name: "clients", ContainerPort: 8080}},
				Env:          []corev1.EnvVar{{Name: "POD_NAME", Value: "x"}},
				VolumeMounts: []corev1.VolumeMount{{Name: "cluster", MountPath: "/etc/chatfleet/cluster"}},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), RunAsNonRoot: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

const sidecar = `"name":"side","image":"i","securityContext":{"allowPrivilegeEscalation":false,"runAsNonRoot":true,"capabilities":{"drop":["ALL"]}}`

// TestRefusals has what must not be in an overlay: where, and in which words.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct{ name, patch, path, says string }{
		{"no template", `[1]`, "at", "is no pod template"},
		{"no JSON", `{`, "at", "is no pod template"},
		{"too long", `{"metadata":{"annotations":{"a":"` + strings.Repeat("x", maxBytes) + `"}}}`, "at", "may not be more than"},
		{"a field that does not exist", `{"spec":{"nodeSelektor":{}}}`, "at.spec.nodeSelektor", "no such field"},
		{"a field twice", `{"spec":{"priorityClassName":"a","priorityClassName":"b"}}`, "at.spec.priorityClassName", "is there twice"},
		{"a wrong type", `{"spec":{"priorityClassName":5}}`, "at.spec.priorityClassName", "is a number"},
		{"a removal", `{"spec":{"tolerations":null}}`, "at.spec.tolerations", "takes nothing away"},
		{"a directive", `{"spec":{"containers":[{"$patch":"delete","name":"chatd"}]}}`, "at.spec.containers[0].$patch", "takes nothing away"},
		{"status", `{"status":{}}`, "at.status", ""},
		{"another name", `{"metadata":{"name":"mine"}}`, "at.metadata.name", "names of members are the operator's"},
		{"a finalizer", `{"metadata":{"finalizers":["a/b"]}}`, "at.metadata.finalizers", "have to be able to go"},
		{"the role", `{"metadata":{"labels":{"chatfleet.io/role":"store"}}}`, "at.metadata.labels[chatfleet.io/role]", "choose another key"},
		{"a label of ours that is not there yet", `{"metadata":{"labels":{"x.chatfleet.io/y":"z"}}}`, "at.metadata.labels[x.chatfleet.io/y]", "choose another key"},
		{"a mark", `{"metadata":{"annotations":{"chatfleet.io/drain-since":"now"}}}`, "at.metadata.annotations[chatfleet.io/drain-since]", "choose another key"},
		{"a node", `{"spec":{"nodeName":"n"}}`, "at.spec.nodeName", "use nodeSelector or affinity"},
		{"no restarts", `{"spec":{"restartPolicy":"Never"}}`, "at.spec.restartPolicy", "always restarted"},
		{"an end", `{"spec":{"activeDeadlineSeconds":60}}`, "at.spec.activeDeadlineSeconds", "ends by itself"},
		{"an account", `{"spec":{"serviceAccountName":"root"}}`, "at.spec.serviceAccountName", "bind your role to that one"},
		{"a grace shorter than the drain", `{"spec":{"terminationGracePeriodSeconds":30}}`, "at.spec.terminationGracePeriodSeconds", "shorter than the drain and its margin, 135 s"},
		{"zones", `{"spec":{"topologySpreadConstraints":[{"topologyKey":"topology.kubernetes.io/zone","maxSkew":2,"whenUnsatisfiable":"DoNotSchedule"}]}}`, "at.spec.topologySpreadConstraints[0].topologyKey", "use spec.topology"},
		{"a volume of ours", `{"spec":{"volumes":[{"name":"cluster","emptyDir":{}}]}}`, "at.spec.volumes[0].name", "choose another name"},
		{"another image", `{"spec":{"containers":[{"name":"chatd","image":"other"}]}}`, "at.spec.containers[0].image", "use spec.image"},
		{"a command", `{"spec":{"containers":[{"name":"chatd","command":["sh"]}]}}`, "at.spec.containers[0].command", "started by the operator"},
		{"arguments", `{"spec":{"containers":[{"name":"chatd","args":["x"]}]}}`, "at.spec.containers[0].args", "as variables"},
		{"resources", `{"spec":{"containers":[{"name":"chatd","resources":{"limits":{"cpu":"1"}}}]}}`, "at.spec.containers[0].resources", "use spec.store.resources"},
		{"a probe", `{"spec":{"containers":[{"name":"chatd","readinessProbe":{"periodSeconds":1}}]}}`, "at.spec.containers[0].readinessProbe", "probes are the operator's"},
		{"a hook", `{"spec":{"containers":[{"name":"chatd","lifecycle":{}}]}}`, "at.spec.containers[0].lifecycle", "SIGTERM"},
		{"a variable of ours", `{"spec":{"containers":[{"name":"chatd","env":[{"name":"POD_NAME","value":"y"}]}]}}`, "at.spec.containers[0].env[0].name", "set by the operator"},
		{"a setting of ours", `{"spec":{"containers":[{"name":"chatd","env":[{"name":"CHATD_ADMIN","value":":1"}]}]}}`, "at.spec.containers[0].env[0].name", "CHATD_LIMITS_"},
		{"our secret in another container", `{"spec":{"containers":[{` + sidecar + `,"volumeMounts":[{"name":"cluster","mountPath":"/x"}]}]}}`, "at.spec.containers[0].volumeMounts[0].name", "mount one of your own"},
		{"something over our secret", `{"spec":{"volumes":[{"name":"v","emptyDir":{}}],"containers":[{"name":"chatd","volumeMounts":[{"name":"v","mountPath":"/etc/chatfleet"}]}]}}`, "at.spec.containers[0].volumeMounts[0].mountPath", "choose another path"},
		{"a container without an image", `{"spec":{"containers":[{"name":"chat"}]}}`, "at.spec.containers[0].image", "no container of the operator is called chat"},
		{"a container without a name", `{"spec":{"containers":[{"image":"i"}]}}`, "at.spec.containers[0].name", "matched by name"},
		{"two of a name", `{"spec":{"containers":[{` + sidecar + `},{` + sidecar + `}]}}`, "at.spec.containers[1].name", "Duplicate"},
		{"chatd's port", `{"spec":{"containers":[{` + sidecar + `,"ports":[{"containerPort":8080}]}]}}`, "at.spec.containers[0].ports[0]", "choose another one"},
		{"a privileged container", `{"spec":{"containers":[{"name":"chatd","securityContext":{"privileged":true}}]}}`, "at.spec.containers[chatd]", "restricted pod security profile: privileged"},
		{"the host's network", `{"spec":{"hostNetwork":true}}`, "at.spec", "restricted pod security profile: host namespaces"},
		{"a sidecar as root", `{"spec":{"containers":[{"name":"side","image":"i"}]}}`, "at.spec.containers[side]", "restricted pod security profile"},
		{"the host's files", `{"spec":{"volumes":[{"name":"v","hostPath":{"path":"/"}}]}}`, "at.spec", "hostPath"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			merged, errs := Merge(base(), []byte(tt.patch), field.NewPath("at"))
			found := false
			for _, e := range errs {
				found = found || e.Field == tt.path && strings.Contains(e.Error(), tt.says)
			}
			if !found {
				t.Errorf("%v\nwant one about %s that says %q", errs.ToAggregate(), tt.path, tt.says)
			}
			if !reflect.DeepEqual(merged, corev1.PodTemplateSpec{}) {
				t.Error("something comes back all the same")
			}
		})
	}
}

// TestWhatUsersMayDo has overlays that are laid over the template: what they ask for is there, and what the operator has made stays.
func TestWhatUsersMayDo(t *testing.T) {
	for _, tt := range []struct{ name, patch, shows string }{
		{"labels and annotations", `{"metadata":{"labels":{"team":"chat"},"annotations":{"a":"b"}}}`, `"team":"chat"`},
		{"a sidecar", `{"spec":{"containers":[{` + sidecar + `,"ports":[{"containerPort":9999}]}]}}`, `"containerPort":9999`},
		{"a setting", `{"spec":{"containers":[{"name":"chatd","env":[{"name":"CHATD_LIMITS_CONNECTIONS","value":"9"},{"name":"OTEL_EXPORTER_OTLP_ENDPOINT","value":"x"}]}]}}`, `"CHATD_LIMITS_CONNECTIONS"`},
		{"a toleration beside ours", `{"spec":{"tolerations":[{"key":"spot","operator":"Exists"}]}}`, `"key":"spot"`},
		{"a longer grace", `{"spec":{"terminationGracePeriodSeconds":300}}`, `"terminationGracePeriodSeconds":300`},
		{"a volume of one's own", `{"spec":{"volumes":[{"name":"v","emptyDir":{}}],"containers":[{"name":"chatd","volumeMounts":[{"name":"v","mountPath":"/tmp"}]}]}}`, `"mountPath":"/tmp"`},
		{"nothing", ``, `"chatd:1"`}, {"null", `null`, `"chatd:1"`}, {"an empty object", ` {} `, `"chatd:1"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			under := base()
			merged, errs := Merge(under, []byte(tt.patch), field.NewPath("at"))
			if len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			text, err := json.Marshal(merged)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{tt.shows, `"chatd:1"`, `"chatfleet.io/role":"shard"`, `"node.kubernetes.io/unreachable"`, `"/etc/chatfleet/cluster"`} {
				if !strings.Contains(string(text), part) {
					t.Errorf("%s is not in %s", part, text)
				}
			}
			if !reflect.DeepEqual(under, base()) {
				t.Error("the template underneath has changed")
			}
		})
	}
}

// FuzzMerge lays anything over a template: it is refused, or the restricted profile holds and the operator's own container is still there.
func FuzzMerge(f *testing.F) {
	f.Add([]byte(`{"spec":{"containers":[{"name":"chatd","env":[{"name":"A","value":"b"}]}]}}`))
	f.Add([]byte(`{"spec":{"containers":[null],"tolerations":[{}]}}`))
	f.Fuzz(func(t *testing.T, patch []byte) {
		merged, errs := Merge(base(), patch, field.NewPath("at"))
		if len(errs) > 0 {
			return
		}
		if bad := checkProfile(merged, field.NewPath("at")); len(bad) > 0 {
			t.Errorf("%s: %v", patch, bad.ToAggregate())
		}
		if c := merged.Spec.Containers; len(c) == 0 || !reflect.DeepEqual(c[len(c)-1].Args, base().Spec.Containers[0].Args) && !reflect.DeepEqual(c[0].Args, base().Spec.Containers[0].Args) {
			t.Errorf("%s: chatd is not what it was: %+v", patch, c)
		}
	})
}
