{{/*
What the operator may do in a namespace with ChatClusters. config/rbac/operator.yaml has the same rules, and a test compares them.
*/}}
{{- define "chatfleet.rules" -}}
# ChatClusters are read; only their status is written. A controller that writes its own spec fights with its users.
- apiGroups: [chatfleet.io]
  resources: [chatclusters]
  verbs: [get, list, watch]
- apiGroups: [chatfleet.io]
  resources: [chatclusters/status]
  verbs: [update, patch]
# Where the API server checks owner references (OpenShift does), this is what lets the operator make objects that go with their ChatCluster.
- apiGroups: [chatfleet.io]
  resources: [chatclusters/finalizers]
  verbs: [update]
# Shards are pods of the operator's own; stores belong to a StatefulSet; what pods are made from is kept in ControllerRevisions.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch, create, update, patch, delete]
# What stands around the pods.
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
# Keys and certificates of fleets. RBAC knows no labels, the names begin with those of ChatClusters, which nobody knows beforehand, and `create` and `list`
# cannot be held to names at all: so these are all Secrets of the namespace. What does narrow it is watchNamespaces, and a namespace for fleets
# that holds nobody else's Secrets. The operator itself asks for Secrets with its own label, and for those that a ChatCluster names.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, patch, delete]
# The StatefulSet makes volumes, and deletes them where deletionPolicy says so; the operator grows them.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.certManager.enabled }}
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [get, create, patch, delete]
{{- end }}
{{- end }}
