{{/* Names and labels. Names are the same in every release: there is one mesh7 in a cluster, and
     service accounts stand in admission policies by their whole names. */}}

{{/* Labels of every object: include "mesh7.labels" (list . "controller") */}}
{{- define "mesh7.labels" -}}
{{- $root := index . 0 -}}
{{ include "mesh7.selector" . }}
app.kubernetes.io/part-of: mesh7
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* What selects a program's pods, and never changes. */}}
{{- define "mesh7.selector" -}}
app.kubernetes.io/name: mesh7-{{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end }}

{{/* The user name of a program's account: include "mesh7.account" (list . "controller") */}}
{{- define "mesh7.account" -}}
system:serviceaccount:{{ (index . 0).Release.Namespace }}:mesh7-{{ index . 1 }}
{{- end }}

{{/* An image with tag or digest: include "mesh7.image" (list . "operator") */}}
{{- define "mesh7.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.image (index . 1) -}}
{{- with $root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end -}}
{{- end }}
