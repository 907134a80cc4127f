{{/* What each webhook says in the same way. */}}

{{/* Where the injector is asked: include "mesh7.asked" (list . "/inject").
     Without a caBundle here Helm leaves alone what the controller, or cert-manager, wrote there. */}}
{{- define "mesh7.asked" -}}
{{- $root := index . 0 -}}
clientConfig:
  service: {namespace: {{ $root.Release.Namespace }}, name: mesh7-injector, port: 443, path: {{ index . 1 }}}
  {{- if eq $root.Values.certificates.mode "external" }}
  caBundle: {{ $root.Values.certificates.caBundle | b64enc }}
  {{- end }}
matchPolicy: Equivalent
sideEffects: None
timeoutSeconds: 5
admissionReviewVersions: [v1]
{{- end }}

{{/* What the cluster itself, and the injector, need to come back waits for nobody. */}}
{{- define "mesh7.notOurs" -}}
- {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, kube-public, kube-node-lease, {{ .Release.Namespace }}]}
{{- end }}

{{- define "mesh7.newPods" -}}
rules:
- {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE], scope: Namespaced}
failurePolicy: Fail
# Another webhook may add a container after us.
reinvocationPolicy: IfNeeded
{{- end }}

{{- define "mesh7.webhookMetadata" -}}
metadata:
  name: mesh7
  labels:
    {{- include "mesh7.labels" (list . "injector") | nindent 4 }}
  {{- if eq .Values.certificates.mode "cert-manager" }}
  annotations:
    cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/mesh7-injector
  {{- end }}
{{- end }}
