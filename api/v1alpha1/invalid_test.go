package v1alpha1_test

import (
	"strings"
	"testing"
)

// full is a valid ChatCluster that uses every part of the spec.
const full = `
apiVersion: chatfleet.io/v1alpha1
kind: ChatCluster
metadata: {name: eu, namespace: chat}
spec:
  image: registry.example.com/chatd:1.2.3
  imagePullPolicy: Always
  imagePullSecrets: [{name: a}, {name: b}]
  region: eu
  partitions: 16
  store:
    replicas: 3
    storage: {size: 10Gi, storageClassName: fast}
    durability: Fsync
    retention: {maxAgeSeconds: 864000, maxBytes: 4Gi}
    resources: {requests: {cpu: 500m, memory: 1Gi}, limits: {memory: 2Gi}}
  shards:
    replicas: 3
    resources: {requests: {cpu: 1, memory: 512Mi}, limits: {cpu: 2, memory: 512Mi}}
    drain: {sessionsPerSecond: 100, timeoutSeconds: 300, jitterSeconds: 2}
  update: {paused: false, maxConcurrentShards: 2, surge: 1, zoneOrder: [b, a], storeSoakSeconds: 60}
  topology: {zoneKey: topology.kubernetes.io/zone, maxSkew: 1}
  access:
    service:
      type: LoadBalancer
      externalTrafficPolicy: Local
      annotations: {example.com/kind: network}
      ports: [{name: client, port: 443, nodePort: 30443}, {name: alt, port: 8443}]
    tls: {secretName: eu-tls}
    issuers:
      - {issuer: 'https://id.example.com', audience: chat, algorithms: [ES256], keys: {url: 'https://id.example.com/jwks.json'}}
      - {issuer: 'https://staff.example.com', keys: {secretRef: {name: staff, key: jwks}}}
  credentials: {rotation: 2}
  template:
    shard: {metadata: {annotations: {example.com/a: b}}}
  paused: false
  hibernate: false
  deletionPolicy: Retain
`

// invalid is what an API server has to refuse. Edits are merge patches on full. Each has a neighbour that is valid, so that a rule
// which refuses too much is found as well.
var invalid = []struct {
	name string
	// was has what there was before, as an edit of full; empty: it is created, "{}": full was there.
	was string
	// bad is refused at path, with a message that holds says. good is not.
	bad, path, says, good string
}{
	// What cannot be changed, or only one way.
	{"another region", "{}", "spec: {region: us}", "spec.region", "make a new ChatCluster with the other region", "spec: {region: eu}"},
	{"other partitions", "{}", "spec: {partitions: 32}", "spec.partitions", "make a new ChatCluster with the other number", "spec: {partitions: 16}"},
	{"partitions back to the default", "spec: {partitions: 8}", "spec: {partitions: null}", "spec.partitions", "make a new ChatCluster", "spec: {partitions: 8}"},
	{"5 stores to 3", "spec: {store: {replicas: 5}}", "spec: {store: {replicas: 3}}", "spec.store.replicas", "stores never become fewer", "spec: {store: {replicas: 5}}"},
	{"3 stores to 1", "{}", "spec: {store: {replicas: 1}}", "spec.store.replicas", "stores never become fewer", "spec: {store: {replicas: 5}}"},
	{"1 store to 3", "spec: {store: {replicas: 1}}", "spec: {store: {replicas: 3}}", "spec.store.replicas", "restore a backup of this one into it",
		"spec: {store: {replicas: 1, storage: {size: 20Gi}}}"},
	{"1 store to the default", "spec: {store: {replicas: 1}}", "spec: {store: {replicas: null}}", "spec.store.replicas", "a single store stays single",
		"spec: {store: {replicas: 1}}"},
	{"a smaller volume", "{}", "spec: {store: {storage: {size: 9Gi}}}", "spec.store.storage.size", "volumes only grow", "spec: {store: {storage: {size: 11Gi}}}"},
	{"a smaller volume in other units", "{}", "spec: {store: {storage: {size: 10G}}}", "spec.store.storage.size", "volumes only grow",
		"spec: {store: {storage: {size: 10240Mi}}}"},
	{"another storage class", "{}", "spec: {store: {storage: {storageClassName: slow}}}", "spec.store.storage.storageClassName", "cannot be changed",
		"spec: {store: {storage: {storageClassName: fast}}}"},
	{"no storage class any more", "{}", "spec: {store: {storage: {storageClassName: null}}}", "spec.store.storage.storageClassName", "cannot be changed", "{}"},
	{"a storage class afterwards", "spec: {store: {storage: {storageClassName: null}}}", "spec: {store: {storage: {storageClassName: fast}}}",
		"spec.store.storage.storageClassName", "cannot be changed", "spec: {store: {storage: {storageClassName: null}}}"},
	{"an earlier rotation", "{}", "spec: {credentials: {rotation: 1}}", "spec.credentials.rotation", "rotation only grows", "spec: {credentials: {rotation: 3}}"},
	{"no rotation any more", "{}", "spec: {credentials: null}", "spec.credentials.rotation", "rotation only grows", "spec: {credentials: {rotation: 2}}"},
	{"a first rotation that is emptied", "{}", "spec: {credentials: {rotation: null}}", "spec.credentials.rotation", "rotation only grows", "{}"},

	// The fleet.
	{"a long name", "", "metadata: {name: a2345678901234567890123456789012345678901}", "<nil>", "choose a shorter one",
		"metadata: {name: a234567890123456789012345678901234567890}"},
	{"a name with a dot", "", "metadata: {name: eu.west}", "<nil>", "choose another one", "metadata: {name: eu-west}"},
	{"a name with a digit first", "", "metadata: {name: 1eu}", "<nil>", "choose another one", "metadata: {name: eu1}"},
	{"no image", "", "spec: {image: null}", "spec.image", "Required", "spec: {image: 'chatd@sha256:00'}"},
	{"an image with a space", "", "spec: {image: 'chatd: 1'}", "spec.image", "an image has no white space", "spec: {image: 'chatd:1'}"},
	{"an unknown pull policy", "", "spec: {imagePullPolicy: Sometimes}", "spec.imagePullPolicy", `supported values: "Always", "IfNotPresent", "Never"`,
		"spec: {imagePullPolicy: Never}"},
	{"a pull secret twice", "", "spec: {imagePullSecrets: [{name: a}, {name: a}]}", "spec.imagePullSecrets[1]", "Duplicate", "spec: {imagePullSecrets: [{name: a}]}"},
	{"no region", "", "spec: {region: null}", "spec.region", "Required", "spec: {region: us}"},
	{"a region with a hyphen", "", "spec: {region: eu-west}", "spec.region", "lower-case letters and digits", "spec: {region: euwest1}"},
	{"too many partitions", "", "spec: {partitions: 1025, store: {retention: null}}", "spec.partitions", "less than or equal to 1024",
		"spec: {partitions: 1024, store: {retention: null}}"},
	{"no partitions", "", "spec: {partitions: 0}", "spec.partitions", "greater than or equal to 1", "spec: {partitions: 1}"},
	{"an unknown field", "", "spec: {shard: {replicas: 3}}", "spec.shard", "unknown field", "spec: {shards: {replicas: 3}}"},
	{"an unknown field deep down", "", "spec: {shards: {drain: {timeout: 30s}}}", "spec.shards.drain.timeout", "unknown field",
		"spec: {shards: {drain: {timeoutSeconds: 30}}}"},
	{"an unknown deletion policy", "", "spec: {deletionPolicy: Keep}", "spec.deletionPolicy", `supported values: "Retain", "Delete"`, "spec: {deletionPolicy: Delete}"},
	{"paused by a word", "", "spec: {paused: 'yes'}", "spec.paused", "must be of type boolean", "spec: {paused: true}"},
	{"an overlay that is text", "", "spec: {template: {shard: 'hostNetwork: true'}}", "spec.template.shard", "must be of type object",
		"spec: {template: {shard: {spec: {hostNetwork: false}}}}"},

	// Stores.
	{"two stores", "", "spec: {store: {replicas: 2}}", "spec.store.replicas", "the stores are 3 or 5, or 1 for development", "spec: {store: {replicas: 1}}"},
	{"four stores", "", "spec: {store: {replicas: 4}}", "spec.store.replicas", "the stores are 3 or 5", "spec: {store: {replicas: 5}}"},
	{"seven stores", "", "spec: {store: {replicas: 7}}", "spec.store.replicas", "less than or equal to 5", "spec: {store: {replicas: 5}}"},
	{"no store", "", "spec: {store: null}", "spec.store", "Required", "{}"},
	{"no size", "", "spec: {store: {storage: {size: null}}}", "spec.store.storage.size", "Required", "spec: {store: {storage: {size: 5Gi}}}"},
	{"a tiny volume", "", "spec: {store: {storage: {size: 512Mi}, retention: null}}", "spec.store.storage.size", "at least 1Gi",
		"spec: {store: {storage: {size: 1Gi}, retention: null}}"},
	{"a size with a wrong unit", "", "spec: {store: {storage: {size: 10GB}}}", "spec.store.storage.size", "should match", "spec: {store: {storage: {size: 10G}}}"},
	{"an exabyte", "", "spec: {store: {storage: {size: 10Ei}}}", "spec.store.storage.size", "check the unit", "spec: {store: {storage: {size: 1Pi}}}"},
	{"an unknown durability", "", "spec: {store: {durability: Memory}}", "spec.store.durability", `supported values: "Fsync", "Replicated"`,
		"spec: {store: {durability: Replicated}}"},
	{"retention of an hour", "", "spec: {store: {retention: {maxAgeSeconds: 3600}}}", "spec.store.retention.maxAgeSeconds", "greater than or equal to 86400",
		"spec: {store: {retention: {maxAgeSeconds: 86400}}}"},
	{"too few bytes for 16 partitions", "", "spec: {store: {retention: {maxBytes: 1023Mi}}}", "spec.store.retention.maxBytes", "at least 64Mi times spec.partitions",
		"spec: {store: {retention: {maxBytes: 1024Mi}}}"},
	{"half a byte", "", "spec: {store: {retention: {maxBytes: 2000000000500m}}}", "spec.store.retention.maxBytes", "at least 64Mi times",
		"spec: {store: {retention: {maxBytes: 2000000000}}}"},
	{"more bytes than the volume", "", "spec: {store: {retention: {maxBytes: 10Gi}}}", "spec.store.retention.maxBytes", "less than storage.size",
		"spec: {store: {retention: {maxBytes: 9Gi}}}"},
	{"a request above its limit", "", "spec: {store: {resources: {requests: {memory: 3Gi}}}}", "spec.store.resources", "lower the request or raise the limit",
		"spec: {store: {resources: {requests: {memory: 2Gi}}}}"},

	// Shards.
	{"fewer than no shards", "", "spec: {shards: {replicas: -1}}", "spec.shards.replicas", "greater than or equal to 0", "spec: {shards: {replicas: 0}}"},
	{"too many shards", "", "spec: {shards: {replicas: 1001}}", "spec.shards.replicas", "less than or equal to 1000", "spec: {shards: {replicas: 1000}}"},
	{"half a shard", "", "spec: {shards: {replicas: 1.5}}", "spec.shards.replicas", "must be of type int32", "spec: {shards: {replicas: 2}}"},
	{"a shard's request above its limit", "", "spec: {shards: {resources: {requests: {cpu: 2001m}}}}", "spec.shards.resources", "lower the request",
		"spec: {shards: {resources: {requests: {cpu: 2000m}}}}"},
	{"no pace", "", "spec: {shards: {drain: {sessionsPerSecond: 0}}}", "spec.shards.drain.sessionsPerSecond", "greater than or equal to 1",
		"spec: {shards: {drain: {sessionsPerSecond: 1}}}"},
	{"a drain of a day", "", "spec: {shards: {drain: {timeoutSeconds: 86400}}}", "spec.shards.drain.timeoutSeconds", "less than or equal to 3600",
		"spec: {shards: {drain: {timeoutSeconds: 3600}}}"},
	{"a time with its unit", "", "spec: {shards: {drain: {timeoutSeconds: 30s}}}", "spec.shards.drain.timeoutSeconds", "must be of type integer",
		"spec: {shards: {drain: {timeoutSeconds: 30}}}"},
	{"a jitter of an hour", "", "spec: {shards: {drain: {jitterSeconds: 3600}}}", "spec.shards.drain.jitterSeconds", "less than or equal to 600",
		"spec: {shards: {drain: {jitterSeconds: 600}}}"},

	// Update and topology.
	{"none at once", "", "spec: {update: {maxConcurrentShards: 0}}", "spec.update.maxConcurrentShards", "greater than or equal to 1",
		"spec: {update: {maxConcurrentShards: 1, surge: 0}}"},
	{"a surge below zero", "", "spec: {update: {surge: -1}}", "spec.update.surge", "greater than or equal to 0", "spec: {update: {surge: 0}}"},
	{"a zone twice", "", "spec: {update: {zoneOrder: [a, b, a]}}", "spec.update.zoneOrder", "a zone is listed twice", "spec: {update: {zoneOrder: [a, b, c]}}"},
	{"a zone without a name", "", "spec: {update: {zoneOrder: ['']}}", "spec.update.zoneOrder[0]", "at least 1 char", "spec: {update: {zoneOrder: null}}"},
	{"an endless soak", "", "spec: {update: {storeSoakSeconds: 86401}}", "spec.update.storeSoakSeconds", "less than or equal to 86400",
		"spec: {update: {storeSoakSeconds: 0}}"},
	{"no label", "", "spec: {topology: {zoneKey: 'my zone'}}", "spec.topology.zoneKey", "this is no label", "spec: {topology: {zoneKey: my-zone}}"},
	{"no skew", "", "spec: {topology: {maxSkew: 0}}", "spec.topology.maxSkew", "greater than or equal to 1", "spec: {topology: {maxSkew: 2}}"},

	// Access.
	{"an external name", "", "spec: {access: {service: {type: ExternalName}}}", "spec.access.service.type", `supported values: "ClusterIP", "NodePort", "LoadBalancer"`,
		"spec: {access: {service: {type: NodePort}}}"},
	{"a port twice", "", "spec: {access: {service: {ports: [{name: a, port: 443}, {name: b, port: 443}]}}}", "spec.access.service.ports", "two ports have the same number",
		"spec: {access: {service: {ports: [{name: a, port: 443}, {name: b, port: 444}]}}}"},
	{"a port's name twice", "", "spec: {access: {service: {ports: [{name: a, port: 443}, {name: a, port: 444}]}}}", "spec.access.service.ports[1]", "Duplicate",
		"spec: {access: {service: {ports: [{name: a, port: 443}]}}}"},
	{"a node's port twice", "", "spec: {access: {service: {ports: [{name: a, port: 443, nodePort: 30000}, {name: b, port: 444, nodePort: 30000}]}}}",
		"spec.access.service.ports", "two ports have the same nodePort",
		"spec: {access: {service: {ports: [{name: a, port: 443, nodePort: 30000}, {name: b, port: 444}]}}}"},
	{"a port's name with a capital", "", "spec: {access: {service: {ports: [{name: Client, port: 443}]}}}", "spec.access.service.ports[0].name", "choose another one",
		"spec: {access: {service: {ports: [{name: client, port: 443}]}}}"},
	{"a port above all", "", "spec: {access: {service: {ports: [{name: a, port: 65536}]}}}", "spec.access.service.ports[0].port", "less than or equal to 65535",
		"spec: {access: {service: {ports: [{name: a, port: 65535}]}}}"},
	{"a node's port inside", "", "spec: {access: {service: {type: ClusterIP, externalTrafficPolicy: null}}}", "spec.access.service.ports", "remove nodePort",
		"spec: {access: {service: {type: ClusterIP, externalTrafficPolicy: null, ports: [{name: a, port: 443}]}}}"},
	{"outside traffic inside", "", "spec: {access: {service: {type: ClusterIP, ports: null}}}", "spec.access.service.externalTrafficPolicy", "remove externalTrafficPolicy",
		"spec: {access: {service: {type: ClusterIP, ports: null, externalTrafficPolicy: null}}}"},
	{"two certificates", "", "spec: {access: {tls: {issuerRef: {name: ca}, dnsNames: [a.example.com]}}}", "spec.access.tls", "one of the two, not both",
		"spec: {access: {tls: {secretName: null, issuerRef: {name: ca}, dnsNames: [a.example.com]}}}"},
	{"no certificate", "", "spec: {access: {tls: {secretName: null}}}", "spec.access.tls", "one of the two, not both", "spec: {access: {tls: null}}"},
	{"a certificate for nobody", "", "spec: {access: {tls: {secretName: null, issuerRef: {name: ca}}}}", "spec.access.tls.dnsNames", "give both",
		"spec: {access: {tls: {secretName: null, issuerRef: {name: ca}, dnsNames: ['*.example.com']}}}"},
	{"a URL for a DNS name", "", "spec: {access: {tls: {secretName: null, issuerRef: {name: ca}, dnsNames: ['https://a.example.com']}}}", "spec.access.tls.dnsNames",
		"without scheme or port", "spec: {access: {tls: {secretName: null, issuerRef: {name: ca}, dnsNames: [a.example.com]}}}"},
	{"keys over http", "", "spec: {access: {issuers: [{issuer: a, keys: {url: 'http://id.example.com/keys'}}]}}", "spec.access.issuers[0].keys.url",
		"the keys come over https", "spec: {access: {issuers: [{issuer: a, keys: {url: 'https://id.example.com/keys'}}]}}"},
	{"keys from a file", "", "spec: {access: {issuers: [{issuer: a, keys: {url: /etc/keys.json}}]}}", "spec.access.issuers[0].keys.url", "or use secretRef",
		"spec: {access: {issuers: [{issuer: a, keys: {secretRef: {name: keys}}}]}}"},
	{"keys of no host", "", "spec: {access: {issuers: [{issuer: a, keys: {url: 'https:///keys'}}]}}", "spec.access.issuers[0].keys.url", "the keys come over https",
		"spec: {access: {issuers: [{issuer: a, keys: {url: 'https://10.0.0.1:8443/keys'}}]}}"},
	{"keys twice", "", "spec: {access: {issuers: [{issuer: a, keys: {url: 'https://a.example.com', secretRef: {name: keys}}}]}}", "spec.access.issuers[0].keys",
		"one of the two, not both", "spec: {access: {issuers: [{issuer: a, keys: {url: 'https://a.example.com'}}]}}"},
	{"no keys", "", "spec: {access: {issuers: [{issuer: a, keys: {}}]}}", "spec.access.issuers[0].keys", "one of the two, not both",
		"spec: {access: {issuers: null}}"},
	{"an issuer twice", "", "spec: {access: {issuers: [{issuer: a, keys: {secretRef: {name: a}}}, {issuer: a, keys: {secretRef: {name: b}}}]}}",
		"spec.access.issuers[1]", "Duplicate",
		"spec: {access: {issuers: [{issuer: a, keys: {secretRef: {name: a}}}, {issuer: b, keys: {secretRef: {name: b}}}]}}"},
	{"an issuer with a space", "", "spec: {access: {issuers: [{issuer: 'a b', keys: {secretRef: {name: a}}}]}}", "spec.access.issuers[0].issuer",
		"neither white space nor commas", "spec: {access: {issuers: [{issuer: 'urn:a', keys: {secretRef: {name: a}}}]}}"},
	{"an audience with a comma", "", "spec: {access: {issuers: [{issuer: a, audience: 'a,b', keys: {secretRef: {name: a}}}]}}", "spec.access.issuers[0].audience",
		"neither white space nor commas", "spec: {access: {issuers: [{issuer: a, audience: ab, keys: {secretRef: {name: a}}}]}}"},
	{"an algorithm that shares a secret", "", "spec: {access: {issuers: [{issuer: a, algorithms: [HS256], keys: {secretRef: {name: a}}}]}}",
		"spec.access.issuers[0].algorithms[0]", `supported values: "EdDSA", "ES256", "RS256"`,
		"spec: {access: {issuers: [{issuer: a, algorithms: [RS256], keys: {secretRef: {name: a}}}]}}"},
	{"an algorithm twice", "", "spec: {access: {issuers: [{issuer: a, algorithms: [ES256, ES256], keys: {secretRef: {name: a}}}]}}",
		"spec.access.issuers[0].algorithms[1]", "Duplicate", "spec: {access: {issuers: [{issuer: a, algorithms: [ES256, EdDSA], keys: {secretRef: {name: a}}}]}}"},
	{"a Secret's key with a slash", "", "spec: {access: {issuers: [{issuer: a, keys: {secretRef: {name: a, key: a/b}}}]}}", "spec.access.issuers[0].keys.secretRef.key",
		"letters, digits, hyphens", "spec: {access: {issuers: [{issuer: a, keys: {secretRef: {name: a, key: a_b.json}}}]}}"},
}

func TestInvalidChatClustersAreRefused(t *testing.T) {
	s := theServer(t)
	if errs := s.admit(nil, objectOf(t, full)); len(errs) > 0 {
		t.Fatalf("what all cases start from is refused:%s", lines(errs))
	}
	untested := s.messages()
	for _, c := range invalid {
		t.Run(c.name, func(t *testing.T) {
			before := objectOf(t, full)
			var old map[string]any
			if c.was != "" {
				before = patched(t, before, c.was)
				old = patched(t, before, "")
				if errs := s.admit(nil, old); len(errs) > 0 {
					t.Fatalf("what was there before is refused:%s", lines(errs))
				}
			}
			errs := s.admit(old, patched(t, before, c.bad))
			found := false
			for _, err := range errs {
				found = found || err.Field == c.path && strings.Contains(err.Error(), c.says)
				delete(untested, err.Detail)
			}
			if !found {
				t.Errorf("want %s: … %s …; got:%s", c.path, c.says, lines(errs))
			}
			if errs := s.admit(old, patched(t, before, c.good)); len(errs) > 0 {
				t.Errorf("the valid neighbour %s is refused:%s", c.good, lines(errs))
			}
		})
	}
	for message := range untested {
		t.Errorf("no case for the rule that says: %s", message)
	}
}

// Rules that are made stricter later must not stop changes of ChatClusters that have broken them since before: labels, a scale-in.
func TestWhatIsUnchangedIsNotLookedAtAgain(t *testing.T) {
	old := patched(t, objectOf(t, full), "spec: {store: {storage: {size: 512Mi}, retention: null}, topology: {zoneKey: 'my zone'}}")
	if errs := theServer(t).admit(old, patched(t, old, "spec: {shards: {replicas: 7}}")); len(errs) > 0 {
		t.Errorf("an unrelated change is refused:%s", lines(errs))
	}
	if errs := theServer(t).admit(old, patched(t, old, "spec: {topology: {zoneKey: 'your zone'}}")); len(errs) == 0 {
		t.Error("a change of what breaks a rule, that breaks it again, is not refused")
	}
}
