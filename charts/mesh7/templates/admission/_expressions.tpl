{{/* What several admission policies say, each spelled once. */}}

{{/* Where a policy is never asked: what the cluster and mesh7 themselves need to come back. */}}
{{- define "mesh7.spared" -}}
[kube-system, kube-public, kube-node-lease, {{ .Release.Namespace }}]
{{- end }}

{{/* A binding to enrolled namespaces: include "mesh7.enrolledBinding" (list . "mesh7-pods") */}}
{{- define "mesh7.enrolledBinding" -}}
{{- $root := index . 0 -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "mesh7.labels" (list $root "admission") | nindent 4 }}
spec:
  policyName: {{ index . 1 }}
  validationActions: [Deny]
  matchResources:
    namespaceSelector:
      matchExpressions:
      - {key: mesh7.dev/injection, operator: Exists}
      - {key: kubernetes.io/metadata.name, operator: NotIn, values: {{ include "mesh7.spared" $root }}}
{{- end }}

{{/* A binding to everything: include "mesh7.binding" (list . "mesh7-tokens") */}}
{{- define "mesh7.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "mesh7.labels" (list (index . 0) "admission") | nindent 4 }}
spec:
  policyName: {{ index . 1 }}
  validationActions: [Deny]
{{- end }}

{{/* Whether a Grant answers one held call: include "mesh7.isAnswer" "object". The kind's own rules
     see that a digest comes with it. */}}
{{- define "mesh7.isAnswer" -}}
{{ . }}.spec.?requestRef.orValue(null) != null
{{- end }}

{{/* What the cluster itself does when an owner or a namespace goes. */}}
{{- define "mesh7.isCollector" -}}
request.userInfo.username in ['system:serviceaccount:kube-system:namespace-controller',
'system:serviceaccount:kube-system:generic-garbage-collector', 'system:kube-controller-manager']
{{- end }}

{{/* A namespace goes with all that is in it, and what is owned with its owner. */}}
{{- define "mesh7.isGoing" -}}
request.operation == 'DELETE' && (has(namespaceObject.metadata.deletionTimestamp)
|| {{ include "mesh7.isCollector" . }})
{{- end }}

{{/* Every container that is not the sidecar. The init container alone is: names are taken by a pod
     once, so a pod without it could call another container so. */}}
{{- define "mesh7.others" -}}
dyn(object.spec.containers)
+ dyn(object.spec.?initContainers.orValue([]).filter(c, !(c.name in ['mesh7', 'mesh7-enforce'])))
+ dyn(object.spec.?ephemeralContainers.orValue([]))
{{- end }}

{{/* What the sidecar's variables say when they are plain words, as CEL map. */}}
{{- define "mesh7.plainVariables" -}}
{{- $found := dict
  "MESH7_LABELS_FILE" "/etc/mesh7/podinfo/labels"
  "MESH7_BUNDLE_DIR" "/etc/mesh7/bundle"
  "MESH7_CREDENTIALS" "/etc/mesh7/credentials"
  "MESH7_STATE" "/var/lib/mesh7/state"
-}}
{{- if ne .Values.redis.mode "none" -}}
{{- $_ := set $found "MESH7_EXCHANGE_URL" (printf "https://mesh7-exchange.%s.svc" .Release.Namespace) -}}
{{- $_ := set $found "MESH7_TOKEN_FILE" "/var/run/secrets/mesh7.dev/token" -}}
{{- end -}}
{{- with .Values.telemetry.otlp.ca -}}
{{- $_ := set $found "MESH7_COLLECTOR_AUTHORITIES" (trim .) -}}
{{- end -}}
{{- range $name, $value := fromYaml (include "mesh7.sidecarVariables" .) -}}
{{- if not (has $name (list "MESH7_HOLD" "MESH7_TRACE_SHARE")) }}{{/* a pod or a namespace may say another */}}
{{- $_ := set $found $name (toString $value) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end }}
