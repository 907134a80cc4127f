{{/* A Job of the operator's image, run once: its account, and its pod. */}}

{{/* include "mesh7.taskAccount" (list . "sweep" $annotations) */}}
{{- define "mesh7.taskMetadata" -}}
{{- $root := index . 0 -}}
name: mesh7-{{ index . 1 }}
labels:
  {{- include "mesh7.labels" . | nindent 2 }}
{{- with index . 2 }}
annotations:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{/* include "mesh7.taskPod" (list . "sweep" "mesh7-sweep" (list "sweep" "--yes")) */}}
{{- define "mesh7.taskPod" -}}
{{- $root := index . 0 -}}
metadata:
  labels:
    {{- include "mesh7.labels" . | nindent 4 }}
spec:
  serviceAccountName: mesh7-{{ index . 1 }}
  restartPolicy: Never
  {{- include "mesh7.podBasics" $root | nindent 2 }}
  {{- with $root.Values.tasks.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.tasks.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
  - name: {{ index . 1 }}
    image: {{ include "mesh7.image" (list $root "operator") | quote }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    args: {{ index . 2 | toJson }}
    env:
    {{- include "mesh7.releaseNamespace" $root | nindent 4 }}
    resources:
      {{- toYaml $root.Values.tasks.resources | nindent 6 }}
    {{- include "mesh7.restricted" $root | nindent 4 }}
    volumeMounts:
    {{- include "mesh7.accountMount" $root | nindent 4 }}
  volumes:
  {{- include "mesh7.accountVolume" $root | nindent 2 }}
{{- end }}
