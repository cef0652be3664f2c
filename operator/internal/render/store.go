package render

import (
	"fmt"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/overlay"
)

const (
	// DataVolume is the name of a store's volume; its claim is named after it and the pod.
	DataVolume = "data"
	// storeGrace is how long a store may take to end: it hands over what it leads, and writes what it has.
	storeGrace = 60
)

// StoreTemplate is what a store's pod is made from. Errors are about spec.template.store.
func StoreTemplate(c *v1alpha1.ChatCluster) (corev1.PodTemplateSpec, field.ErrorList) {
	s := c.Spec
	p := &pod{c: c, role: v1alpha1.RoleStore, resources: s.Store.Resources, graceSeconds: storeGrace}
	p.args = []string{
		"--data=" + dirData,
		"--durability=" + string(s.Store.Durability),
		fmt.Sprintf("--replicas=%d", s.Store.Replicas),
		"--leaf-listen=:" + strconv.Itoa(PortLeaf),
	}
	if s.Store.Replicas > 1 {
		p.args = append(p.args, "--cluster-listen=:"+strconv.Itoa(PortCluster), "--cluster-peers="+strings.Join(storeAddresses(c, PortCluster), ","))
	}
	if age := s.Store.Retention.MaxAgeSeconds; age > 0 {
		p.args = append(p.args, fmt.Sprintf("--retain-age=%ds", age))
	}
	if bytes := s.Store.Retention.MaxBytes; bytes != nil {
		p.args = append(p.args, fmt.Sprintf("--retain-bytes-per-partition=%d", bytes.Value()/int64(s.Partitions)))
	}
	p.port("cluster", PortCluster)
	p.port("leaf", PortLeaf)
	p.mounts = append(p.mounts, corev1.VolumeMount{Name: DataVolume, MountPath: dirData})
	p.member()
	t := p.template()
	t.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{
		spread(c, p.role, s.Topology.ZoneKey, s.Topology.MaxSkew, corev1.DoNotSchedule),
		// Two stores on one node are one failure.
		spread(c, p.role, corev1.LabelHostname, 1, corev1.DoNotSchedule),
	}
	return overlay.Merge(t, raw(s.Template.Store), field.NewPath("spec", "template", "store"))
}

// NoPartition has a set make every store with its newest template, and restart none by itself.
const NoPartition = -1

// StoreSetWith is the stores' set with a kept template. From partition on, stores have it; those below keep the one of before.
func StoreSetWith(c *v1alpha1.ChatCluster, template corev1.PodTemplateSpec, revision string, replicas, partition int32) *appsv1.StatefulSet {
	template = *template.DeepCopy()
	template.Labels[v1alpha1.LabelRevision] = revision
	claim := corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: DataVolume, Labels: Selector(c, v1alpha1.RoleStore)},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: c.Spec.Store.Storage.Size.DeepCopy()}},
		},
	}
	if class := c.Spec.Store.Storage.StorageClassName; class != "" {
		claim.Spec.StorageClassName = new(class)
	}
	deleted := appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	if c.Spec.DeletionPolicy == v1alpha1.Delete {
		deleted = appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	}
	update := appsv1.StatefulSetUpdateStrategy{
		Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: new(partition)},
	}
	if partition == NoPartition {
		update = appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType}
	}
	return &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: meta(c, StoreSet(c), v1alpha1.RoleStore, nil),
		Spec: appsv1.StatefulSetSpec{
			Replicas: new(replicas), ServiceName: StoreService(c), Template: template,
			Selector:             &metav1.LabelSelector{MatchLabels: Selector(c, v1alpha1.RoleStore)},
			PodManagementPolicy:  appsv1.ParallelPodManagement, // a first start wants a quorum, not one after the other
			RevisionHistoryLimit: new(int32(5)),
			UpdateStrategy:       update,
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{claim},
			PersistentVolumeClaimRetentionPolicy: &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
				WhenDeleted: deleted, WhenScaled: appsv1.RetainPersistentVolumeClaimRetentionPolicyType, // hibernation scales to 0
			},
		},
	}
}
