{{/* Where Redis is, as each of its users. */}}

{{- define "mesh7.redisUrl" -}}
{{- if eq .Values.redis.mode "embedded" -}}
rediss://mesh7-operator@mesh7-redis.{{ .Release.Namespace }}.svc:6379/0
{{- else -}}
{{ .Values.redis.url }}
{{- end -}}
{{- end }}

{{/* What sidecars are told of. */}}
{{- define "mesh7.sidecarRedisUrl" -}}
{{- if and (eq .Values.redis.mode "given") .Values.redis.given.url -}}
{{ .Values.redis.given.url }}
{{- else -}}
{{ include "mesh7.redisUrl" . }}
{{- end -}}
{{- end }}

{{/* The Secret with the operator's password; empty where the user has none. */}}
{{- define "mesh7.redisSecret" -}}
{{- if eq .Values.redis.mode "embedded" -}}
mesh7-redis-operator
{{- else -}}
{{ .Values.redis.existingSecret }}
{{- end -}}
{{- end }}
