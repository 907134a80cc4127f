{{/* Where telemetry goes, as variables: of the operator's programs, and of sidecars. */}}

{{/* Nothing where there is no collector: then nothing is traced at all. */}}
{{- define "mesh7.telemetry" -}}
{{- with .Values.telemetry -}}
{{- if .otlp.endpoint -}}
OTEL_EXPORTER_OTLP_COMPRESSION: {{ .otlp.compression }}
MESH7_TRACE_SHARE: {{ toString .traces.share | quote }}
OTEL_METRICS_EXPORTER: {{ .metrics.otlp | ternary "otlp" "none" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "mesh7.operatorTelemetry" -}}
{{- with .Values.telemetry.otlp.endpoint -}}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ . | quote }}
{{ include "mesh7.telemetry" $ }}
{{- end }}
{{- end }}

{{/* All further variables of sidecars, as YAML: what people give goes first. */}}
{{- define "mesh7.sidecarVariables" -}}
{{- toYaml (merge (dict) .Values.injection.variables (fromYaml (include "mesh7.sidecarTelemetry" .))) }}
{{- end }}

{{- define "mesh7.sidecarTelemetry" -}}
{{- include "mesh7.telemetry" . }}
{{- with .Values.telemetry }}
{{- if .otlp.endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ .otlp.sidecarEndpoint | default .otlp.endpoint | quote }}
OTEL_LOGS_EXPORTER: {{ .logs.otlp | ternary "otlp" "none" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Beside those, whose telemetry it is: include "mesh7.telemetryOfPod" (list . "controller") */}}
{{- define "mesh7.telemetryOfPod" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.telemetry.otlp.endpoint -}}
- name: MESH7_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: MESH7_POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: MESH7_NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name=$(MESH7_RELEASE_NAMESPACE),k8s.pod.name=$(MESH7_POD_NAME),k8s.pod.uid=$(MESH7_POD_UID),k8s.node.name=$(MESH7_NODE_NAME),k8s.container.name={{ index . 1 }}
{{- with $root.Values.telemetry.otlp }}
{{- if .ca }}
- {name: OTEL_EXPORTER_OTLP_CERTIFICATE, value: /etc/mesh7/collector-ca/ca.crt}
{{- end }}
{{- with .headersSecret }}
{{- if .name }}
# Of the operator alone: variables of sidecars are there for tenants to read.
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Who vouches for the collector. */}}
{{- define "mesh7.collectorMount" -}}
{{- if .Values.telemetry.otlp.ca -}}
- {name: collector-ca, mountPath: /etc/mesh7/collector-ca, readOnly: true}
{{- end }}
{{- end }}
{{- define "mesh7.collectorVolume" -}}
{{- if .Values.telemetry.otlp.ca -}}
- name: collector-ca
  configMap: {name: mesh7-collector-ca}
{{- end }}
{{- end }}

{{/* Of a program that is not started from ConfigMap mesh7-settings. */}}
{{- define "mesh7.telemetryVariables" -}}
{{- range $name, $value := fromYaml (include "mesh7.operatorTelemetry" .) }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* To the collector's port, at any address: no policy can name a Service. */}}
{{- define "mesh7.toCollector" -}}
{{- with .Values.telemetry.otlp.endpoint }}
{{- $url := urlParse . }}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) }}
- ports:
  - {port: {{ $port | default (eq $url.scheme "https" | ternary "443" "80") }}, protocol: TCP}
{{- end }}
{{- end }}
