{{/* Parts of our NetworkPolicies. */}}

{{/* include "mesh7.networkPolicy" (list . "controller"): up to the rules. */}}
{{- define "mesh7.networkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: mesh7-{{ index . 1 }}
  namespace: {{ (index . 0).Release.Namespace }}
  labels:
    {{- include "mesh7.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "mesh7.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
{{- end }}

{{/* To anybody: labels of name servers differ from cluster to cluster. */}}
{{- define "mesh7.toNames" -}}
- ports:
  {{- range .Values.networkPolicies.dnsPorts }}
  - {port: {{ . }}, protocol: UDP}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
{{- end }}

{{/* No policy can name the API server: in many clusters it is no pod. */}}
{{- define "mesh7.toApiServer" -}}
- {{- with .Values.networkPolicies.apiServerCIDRs }}
  to:
  {{- range . }}
  - ipBlock: {cidr: {{ . | quote }}}
  {{- end }}
  {{- end }}
  ports:
  {{- range .Values.networkPolicies.apiServerPorts }}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
{{- end }}

{{- define "mesh7.toRedis" -}}
{{- if eq .Values.redis.mode "embedded" }}
- to:
  - podSelector:
      matchLabels:
        {{- include "mesh7.selector" (list . "redis") | nindent 8 }}
  ports: [{port: 6379, protocol: TCP}]
{{- else if ne .Values.redis.mode "none" }}
- ports:
  {{- range .Values.networkPolicies.redisPorts }}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
{{- end }}
{{- end }}

{{- define "mesh7.fromScrapers" -}}
- {{- with .Values.networkPolicies.metricsFrom }}
  from:
  {{- toYaml . | nindent 2 }}
  {{- end }}
  ports: [{port: metrics, protocol: TCP}]
{{- end }}

{{- define "mesh7.fromSidecars" -}}
- namespaceSelector:
    matchExpressions:
    - {key: mesh7.dev/injection, operator: In, values: [enabled, on-request]}
  podSelector:
    matchLabels: {mesh7.dev/injected: "true"}
{{- end }}
