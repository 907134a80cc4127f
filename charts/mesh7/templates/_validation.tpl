{{/* Combinations of values that contradict each other. What one value may be says values.schema.json. */}}

{{- define "mesh7.validate" -}}
{{- $certificates := .Values.certificates -}}
{{- $redis := .Values.redis -}}
{{- $isTheirs := has $redis.mode (list "managed" "given") -}}
{{- $isGuarded := ne .Values.injection.defaultEnforcement "Cooperative" -}}
{{- if and (eq $certificates.mode "cert-manager") (not $certificates.issuerRef.name) -}}
{{- fail "certificates.issuerRef.name: is missing; with `certificates.mode: cert-manager` say who issues, such as {kind: ClusterIssuer, name: internal}" -}}
{{- end -}}
{{- if and (ne $certificates.mode "cert-manager") $certificates.issuerRef -}}
{{- fail (printf "certificates.issuerRef: means nothing with `certificates.mode: %s`; leave it away, or say `cert-manager`" $certificates.mode) -}}
{{- end -}}
{{- if and (eq $certificates.mode "external") (not $certificates.caBundle) -}}
{{- fail "certificates.caBundle: is missing; with `certificates.mode: external` give the authorities of Secret mesh7-injector-certificate, PEM" -}}
{{- end -}}
{{- if and (ne $certificates.mode "external") $certificates.caBundle -}}
{{- fail (printf "certificates.caBundle: means nothing with `certificates.mode: %s`; leave it away, or say `external`" $certificates.mode) -}}
{{- end -}}
{{- if and $isTheirs (not $redis.url) -}}
{{- fail (printf "redis.url: is missing; with `redis.mode: %s` say where your server is" $redis.mode) -}}
{{- end -}}
{{- if and (not $isTheirs) (or $redis.url $redis.nodes $redis.existingSecret $redis.ca) -}}
{{- fail (printf "redis: `url`, `nodes`, `existingSecret` and `ca` mean nothing with `redis.mode: %s`; leave them away, or say `managed`" $redis.mode) -}}
{{- end -}}
{{- if and (eq $redis.mode "managed") (not $redis.existingSecret) -}}
{{- fail "redis.existingSecret: is missing; with `redis.mode: managed` name the Secret with the `password` of the operator's user" -}}
{{- end -}}
{{- if and (eq $redis.mode "given") (not (or $redis.given.existingSecret $redis.existingSecret)) -}}
{{- fail "redis.given.existingSecret: is missing; with `redis.mode: given` name the Secret with the `password` that every sidecar gets" -}}
{{- end -}}
{{- if and (ne $redis.mode "given") (or $redis.given.url $redis.given.existingSecret) -}}
{{- fail (printf "redis.given: means nothing with `redis.mode: %s`; leave it away, or say `given`" $redis.mode) -}}
{{- end -}}
{{- if and $isGuarded (ne $redis.mode "none") (not (hasPrefix "rediss://" (include "mesh7.sidecarRedisUrl" .))) -}}
{{- fail (printf "injection.defaultEnforcement: `%s` wants a Redis with TLS, and every pod would be refused as `plain-redis`; give a rediss:// URL, or say `redis.mode: none`" .Values.injection.defaultEnforcement) -}}
{{- end -}}
{{- if and .Values.tasks.rotateCertificates (ne $certificates.mode "self") -}}
{{- fail (printf "tasks.rotateCertificates: means nothing with `certificates.mode: %s`: the controller has no authority then" $certificates.mode) -}}
{{- end -}}
{{- if and (not .Values.telemetry.otlp.endpoint) (or .Values.telemetry.metrics.otlp .Values.telemetry.logs.otlp) -}}
{{- fail "telemetry.otlp.endpoint: is missing; `telemetry.metrics.otlp` and `telemetry.logs.otlp` say that something is sent, so say where" -}}
{{- end -}}
{{- with .Values.telemetry.otlp -}}
{{- if and (not .endpoint) (or .ca .headersSecret.name .sidecarEndpoint) -}}
{{- fail "telemetry.otlp.endpoint: is missing; `ca`, `headersSecret` and `sidecarEndpoint` say how something is sent, so say where" -}}
{{- end -}}
{{- if and .ca (not (or (hasPrefix "https://" .endpoint) (hasPrefix "https://" .sidecarEndpoint))) -}}
{{- fail "telemetry.otlp.ca: means nothing with `http://`; leave it away, or give an `https://` endpoint" -}}
{{- end -}}
{{- if and .headersSecret.name (not .sidecarEndpoint) -}}
{{- fail "telemetry.otlp.sidecarEndpoint: is missing; sidecars get no headers, for whoever may read pods would read them, so name the collector that takes telemetry from them without (`endpoint` once more, if that one does)" -}}
{{- end -}}
{{- end -}}
{{- if has .Release.Namespace (list "default" "kube-system" "kube-public" "kube-node-lease") -}}
{{- fail (printf "namespace `%s`: mesh7 wants one of its own, for its AgentPolicies are the baseline of all others; say --namespace mesh7-system --create-namespace" .Release.Namespace) -}}
{{- end -}}
{{- end }}
