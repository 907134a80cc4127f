{{/* What the pods of all our programs have in common. */}}

{{/* Metadata of a Deployment's pods: include "mesh7.podMetadata" (list . "controller") */}}
{{- define "mesh7.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $values := index $root.Values (index . 1) -}}
labels:
  {{- include "mesh7.labels" . | nindent 2 }}
  {{- with $values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/settings: {{ include (print $root.Template.BasePath "/settings.yaml") $root | sha256sum }}
  {{- with $values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Of any pod of the release: who runs in it, and where from. */}}
{{- define "mesh7.podBasics" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Which nodes pods may go to, and whom they may push away: include "mesh7.nodes" .Values.controller */}}
{{- define "mesh7.nodes" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where a Deployment's pods go: include "mesh7.placement" (list . "controller") */}}
{{- define "mesh7.placement" -}}
{{- $values := index (index . 0).Values (index . 1) -}}
{{- include "mesh7.nodes" $values }}
topologySpreadConstraints:
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: {{ $values.spread }}
  labelSelector:
    matchLabels:
      {{- include "mesh7.selector" . | nindent 6 }}
{{- end }}

{{/* A container that may do nothing beside its work. */}}
{{- define "mesh7.restricted" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* The token by which a program asks the API server, and what vouches for that one. */}}
{{- define "mesh7.accountVolume" -}}
- name: account
  projected:
    defaultMode: 0440
    sources:
    - serviceAccountToken: {path: token, expirationSeconds: 3607}
    - configMap:
        name: kube-root-ca.crt
        items: [{key: ca.crt, path: ca.crt}]
    - downwardAPI:
        items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]
{{- end }}
{{- define "mesh7.accountMount" -}}
- {name: account, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}

{{- define "mesh7.releaseNamespace" -}}
- name: MESH7_RELEASE_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- end }}

{{/* Programs that stay: which of them may be taken away at once. */}}
{{- define "mesh7.disruptionBudget" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- if gt (int (index $root.Values $name).replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: mesh7-{{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "mesh7.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "mesh7.selector" . | nindent 6 }}
{{- end }}
{{- end }}
