{{- define "type_members" -}}
{{ .Doc | replace "\n" " " | replace "|" "\\|" }}
{{- if or (not .Type.Members) (contains "array" (markdownRenderType .Type)) -}}
{{- range index .Markers "kubebuilder:validation:XValidation" }}<br>Refused: {{ .Message }}.{{ end -}}
{{- end -}}
{{- end -}}
