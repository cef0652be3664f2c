package render

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/overlay"
	"github.com/chatfleet/chatfleet/operator/internal/pki"
)

const (
	// shardMargin is how much longer a shard may take to end than its drain: chatd asks for 10 s, and the kubelet is not on the second.
	shardMargin = 15
	// lingers is how many seconds a shard that leaves stays at least, also without sessions: what sends clients to shards (the proxies of all nodes, a load
	// balancer) takes some to see that this one takes none any more, and where it is gone by then, their connections run into nothing.
	lingers = 10
	// lostAfter is how long a shard stays bound to a node that does not answer. It holds nothing durable, so that another is made soon.
	lostAfter = 10
)

// ShardTemplate is what a shard's pod is made from. Errors are about spec.template.shard.
func ShardTemplate(c *v1alpha1.ChatCluster) (corev1.PodTemplateSpec, field.ErrorList) {
	s := c.Spec
	p := &pod{c: c, role: v1alpha1.RoleShard, resources: s.Shards.Resources, graceSeconds: int64(s.Shards.Drain.TimeoutSeconds) + shardMargin}
	p.args = []string{
		"--listen=:" + strconv.Itoa(PortClients),
		"--stores=" + strings.Join(storeAddresses(c, PortLeaf), ","),
		fmt.Sprintf("--drain-sessions-per-second=%d", s.Shards.Drain.SessionsPerSecond),
		fmt.Sprintf("--drain-timeout=%ds", s.Shards.Drain.TimeoutSeconds),
		fmt.Sprintf("--drain-linger=%ds", min(lingers, s.Shards.Drain.TimeoutSeconds)),
	}
	p.args = append(p.args, "--session-keys-file="+dirSessionKeys+"/"+pki.SessionKeysFile)
	p.port("clients", PortClients)
	p.member()
	p.secret("session-keys", SessionKeysSecret(c), dirSessionKeys)
	p.issuers()
	if secret := ClientTLSSecret(c); secret != "" {
		p.args = append(p.args, "--tls-certificate-file="+dirClientTLS+"/tls.crt", "--tls-key-file="+dirClientTLS+"/tls.key")
		p.secret("client-tls", secret, dirClientTLS)
	}
	t := p.template()
	t.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{
		spread(c, p.role, s.Topology.ZoneKey, s.Topology.MaxSkew, corev1.ScheduleAnyway),
		spread(c, p.role, corev1.LabelHostname, 1, corev1.ScheduleAnyway),
	}
	for _, taint := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		t.Spec.Tolerations = append(t.Spec.Tolerations, corev1.Toleration{
			Key: taint, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(lostAfter)),
		})
	}
	return overlay.Merge(t, raw(s.Template.Shard), field.NewPath("spec", "template", "shard"))
}

// issuers says whose tokens sign users in.
func (p *pod) issuers() {
	var all []string
	for i, issuer := range p.c.Spec.Access.Issuers {
		keys := issuer.Keys.URL
		if name := issuer.Keys.SecretRef.Name; name != "" {
			volume := fmt.Sprintf("issuer-%d", i)
			at := fmt.Sprintf("%s/%d", dirIssuers, i)
			p.secret(volume, name, at)
			keys = at + "/" + issuer.Keys.SecretRef.Key
		}
		text := "iss=" + issuer.Issuer + " keys=" + keys + " aud=" + issuer.Audience
		if len(issuer.Algorithms) > 0 {
			var names []string
			for _, a := range issuer.Algorithms {
				names = append(names, string(a))
			}
			text += " alg=" + strings.Join(names, "+")
		}
		all = append(all, text)
	}
	if len(all) > 0 {
		p.args = append(p.args, "--token-issuers="+strings.Join(all, ","))
	}
	if ForTests(p.c) {
		p.secret("test-users", TestUsersSecret(p.c), dirTestUsers)
		p.args = append(p.args, "--token-keys="+dirTestUsers+"/"+testUsersKey)
	}
}
