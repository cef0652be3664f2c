{{- define "gvList" -}}
# The ChatCluster resource

Every field of `chatfleet.io/v1alpha1`, as `kubectl explain chatcluster.spec` tells it too. Made by `make generate` from api/v1alpha1; do not
edit it. Samples: [for development](../config/samples/chatcluster.yaml), [for production](../config/samples/chatcluster-production.yaml).

    kubectl get cc                         # columns: Shards, Ready, Updated, Draining, Sessions, Store, Available, Age
    kubectl scale cc eu --replicas 6       # the shards
    kubectl wait cc eu --for condition=Available

What the API server refuses stands below as "refused"; its message says what to do. Secrets that are named are those of the same namespace.
{{ range . }}
{{- template "gvDetails" . }}
{{- end }}
{{- end -}}
