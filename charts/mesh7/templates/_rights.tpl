{{/* Bindings of a program's account to the role of its name. */}}

{{- define "mesh7.everywhere" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: mesh7-{{ $name }}
  labels:
    {{- include "mesh7.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: mesh7-{{ $name }}
subjects:
- kind: ServiceAccount
  name: mesh7-{{ $name }}
  namespace: {{ $root.Release.Namespace }}
{{- end }}

{{- define "mesh7.inRelease" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: mesh7-{{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "mesh7.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: mesh7-{{ $name }}
subjects:
- kind: ServiceAccount
  name: mesh7-{{ $name }}
  namespace: {{ $root.Release.Namespace }}
{{- end }}
