package render

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// Where things lie in pods.
const (
	dirCluster   = "/etc/chatfleet/cluster"
	dirMemberTLS = "/etc/chatfleet/member-tls"
	dirClientTLS = "/etc/chatfleet/client-tls"
	dirIssuers   = "/etc/chatfleet/issuers"
	dirTestUsers = "/etc/chatfleet/test-users"
	// dirSessionKeys is where shards find the keys of resume tokens.
	dirSessionKeys = "/etc/chatfleet/session-keys"
	dirData        = "/data"

	clusterSecretKey = "secret"
	testUsersKey     = "keys.json"

	// user that chatd runs as. Images have it too; here it is said so that a cluster can check it without the image.
	user = 65532
)

// pod is what both roles have in common.
type pod struct {
	c         *v1alpha1.ChatCluster
	role      string
	args      []string
	ports     []corev1.ContainerPort
	mounts    []corev1.VolumeMount
	volumes   []corev1.Volume
	resources v1alpha1.Resources
	// grace is how long it may take to end.
	graceSeconds int64
}

// secret mounts a Secret. Optional: the pod starts without it, and chatd says what is missing.
func (p *pod) secret(volume, secret, at string) {
	p.volumes = append(p.volumes, corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: secret, DefaultMode: new(int32(0o440))},
	}})
	p.mounts = append(p.mounts, corev1.VolumeMount{Name: volume, MountPath: at, ReadOnly: true})
}

func (p *pod) port(name string, number int32) {
	p.ports = append(p.ports, corev1.ContainerPort{Name: name, ContainerPort: number, Protocol: corev1.ProtocolTCP})
}

// member adds what every member of a fleet is told.
func (p *pod) member() {
	s := p.c.Spec
	p.args = append([]string{
		"serve", "--role=" + p.role, "--name=$(POD_NAME)", "--region=" + s.Region, "--partitions=" + strconv.Itoa(int(s.Partitions)),
		"--admin=:" + strconv.Itoa(PortAdmin), "--probes=:" + strconv.Itoa(PortProbes),
		"--cluster-secret-file=" + dirCluster + "/" + clusterSecretKey, "--cluster-tls-directory=" + dirMemberTLS,
		"--log-format=json",
	}, p.args...)
	p.port("admin", PortAdmin)
	p.port("probes", PortProbes)
	p.secret("cluster", ClusterSecret(p.c), dirCluster)
	p.secret("member-tls", CertificateSecret(p.c, p.role), dirMemberTLS)
	if ForTests(p.c) {
		p.args = append(p.args, "--fault-clock=on")
	}
}

func (p *pod) template() corev1.PodTemplateSpec {
	s := p.c.Spec
	spec := corev1.PodSpec{
		ServiceAccountName:            Account(p.c, p.role),
		AutomountServiceAccountToken:  new(false),
		EnableServiceLinks:            new(false), // variables that begin with CHATD_ are settings
		TerminationGracePeriodSeconds: new(p.graceSeconds),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(user)), RunAsGroup: new(int64(user)), FSGroup: new(int64(user)),
			FSGroupChangePolicy: new(corev1.FSGroupChangeOnRootMismatch),
			SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Volumes:    p.volumes,
		Containers: []corev1.Container{p.container()},
	}
	for _, secret := range s.ImagePullSecrets {
		spec.ImagePullSecrets = append(spec.ImagePullSecrets, corev1.LocalObjectReference{Name: secret.Name})
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: Labels(p.c, p.role)}, Spec: spec}
}

func (p *pod) container() corev1.Container {
	probe := func(path string, period, failures int32) *corev1.Probe {
		return &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("probes")}},
			PeriodSeconds: period, FailureThreshold: failures, TimeoutSeconds: 3,
		}
	}
	return corev1.Container{
		Name: v1alpha1.ChatdContainer, Image: p.c.Spec.Image, ImagePullPolicy: p.c.Spec.ImagePullPolicy,
		Args: p.args, Ports: p.ports, VolumeMounts: p.mounts,
		Env:           append([]corev1.EnvVar{podName}, memoryLimit(p.resources)...),
		Resources:     corev1.ResourceRequirements{Requests: list(p.resources.Requests), Limits: list(p.resources.Limits)},
		LivenessProbe: probe("/healthz", 10, 6), ReadinessProbe: probe("/readyz", 2, 1),
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), RunAsNonRoot: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

var podName = corev1.EnvVar{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}}

// memoryLimit tells the garbage collector nine tenths of the container's limit: beyond it the kernel kills the process.
func memoryLimit(r v1alpha1.Resources) []corev1.EnvVar {
	limit, ok := r.Limits[corev1.ResourceMemory]
	if !ok {
		return nil
	}
	return []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: strconv.FormatInt(limit.Value()/10*9, 10)}}
}

func list(quantities map[corev1.ResourceName]resource.Quantity) corev1.ResourceList {
	if len(quantities) == 0 {
		return nil
	}
	out := corev1.ResourceList{}
	for name, q := range quantities {
		out[name] = q.DeepCopy()
	}
	return out
}

// spread over a domain of nodes.
func spread(c *v1alpha1.ChatCluster, role, key string, skew int32, otherwise corev1.UnsatisfiableConstraintAction) corev1.TopologySpreadConstraint {
	return corev1.TopologySpreadConstraint{
		TopologyKey: key, MaxSkew: skew, WhenUnsatisfiable: otherwise, LabelSelector: &metav1.LabelSelector{MatchLabels: Selector(c, role)},
		// A node that takes no such pod (a control plane, one that is cordoned) would else count as an empty one that must be filled first.
		NodeTaintsPolicy: new(corev1.NodeInclusionPolicyHonor),
	}
}
