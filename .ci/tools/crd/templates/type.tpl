{{- define "type" -}}
{{- if markdownShouldRenderType . }}

## {{ .Name }}

{{ .Doc | replace "\n" " " }}
{{ with index .Markers "kubebuilder:validation:XValidation" }}
{{ range . -}}
- refused{{ with .FieldPath }} (`{{ . | trimPrefix "." }}`){{ end }}: {{ .Message }}
{{ end -}}
{{ end -}}
{{ if .Members }}
| field | what it is for |
|---|---|
{{ range .Members -}}
| `{{ .Name }}`<br>{{ markdownRenderType .Type }} | {{ template "type_members" . }} |
{{ end -}}
{{ end -}}
{{- if .EnumValues }}
| value | means |
|---|---|
{{ range .EnumValues -}}
| `{{ .Name }}` | {{ .Doc | replace "\n" " " }} |
{{ end -}}
{{ end -}}
{{- end -}}
{{- end -}}
