{{- define "chatfleet.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "chatfleet.operator" -}}
{{ include "chatfleet.fullname" . }}-operator
{{- end }}

{{- define "chatfleet.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "chatfleet.operator" .) -}}
{{- end }}

{{- define "chatfleet.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The operator's pods. NetworkPolicies of fleets let pods of this name at their admin ports, whatever the release is called. */}}
{{- define "chatfleet.selector" -}}
app.kubernetes.io/name: chatfleet-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "chatfleet.common" -}}
app.kubernetes.io/part-of: chatfleet
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "chatfleet.labels" -}}
{{ include "chatfleet.selector" . }}
{{ include "chatfleet.common" . }}
{{- end }}

{{/* A binding's subject: the operator. */}}
{{- define "chatfleet.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "chatfleet.serviceAccount" . }}
    namespace: {{ .Release.Namespace }}
{{- end }}
