{{/* Common to all our pods: an unprivileged user, no token for the cluster's API, spread over nodes, settings and secrets as files. */}}
{{- define "signrelay.pod" -}}
{{- $secrets := include "signrelay.secrets" . | fromYaml -}}
{{- $values := .root.Values -}}
serviceAccountName: {{ include "signrelay.account" . }}
automountServiceAccountToken: false
# Otherwise a Service called signrelay-ingest would add variables such as SIGNRELAY_INGEST_PORT, which are not settings.
enableServiceLinks: false
{{- with $values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
  {{- if not (.root.Capabilities.APIVersions.Has "security.openshift.io/v1") }}
  {{- range $key, $id := $values.podSecurityContext }}
  {{- if not (kindIs "invalid" $id) }}
  {{ $key }}: {{ int64 $id }}
  {{- end }}
  {{- end }}
  {{- end }}
{{- with .row.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .row.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .row.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .row.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .row.initContainers }}
initContainers: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: settings
    configMap: {name: {{ include "signrelay.fullname" .root }}-{{ .name }}}
  {{- if $secrets }}
  - name: secrets
    projected:
      defaultMode: 0440
      sources:
        {{- range $setting, $ref := $secrets }}
        - secret: {name: {{ $ref.name }}, items: [{key: {{ $ref.key | quote }}, path: {{ $setting }}}]}
        {{- end }}
  {{- end }}
  {{- if and $values.templates (has "templates" .row.reads) }}
  - name: templates
    configMap:
      name: {{ include "signrelay.fullname" .root }}-templates
      items:
        {{- range $path, $_ := $values.templates }}
        - {key: {{ $path | replace "/" "__" }}, path: {{ $path }}}
        {{- end }}
  {{- end }}
  {{- if eq .name "archiver" }}
  - {name: temporary, emptyDir: {}} # files on their way to the archive
  {{- end }}
  {{- with .row.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* 90% of a memory limit, in bytes, for GOMEMLIMIT: near it the garbage collector works harder. The rest is for memory outside Go's
heap: stacks, threads, the program itself. The Downward API provides only the whole limit, not a part of it. */}}
{{- define "signrelay.memory" -}}
{{- if kindIs "string" . -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexReplaceAll "^[0-9.]+" . "")) 0.9 | floor | int64 -}}
{{- else -}}
{{- mulf . 0.9 | floor | int64 -}}
{{- end -}}
{{- end -}}

{{/* The container, without its ports and probes. A secret is a file, and its variable with _FILE names the path. */}}
{{- define "signrelay.container" -}}
{{- $secrets := include "signrelay.secrets" . | fromYaml -}}
{{- $values := .root.Values -}}
{{- $program := .row.program | default .name -}}
image: {{ list $values.image.registry $values.image.repository $program | compact | join "/" -}}
  {{- with get $values.image.digests $program -}}
  @{{ . }}
  {{- else -}}
  :{{ $values.image.tag | default .root.Chart.AppVersion }}
  {{- end }}
imagePullPolicy: {{ $values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources: {{- toYaml .row.resources | nindent 2 }}
env:
  - {name: SIGNRELAY_CONFIG, value: /etc/signrelay/settings/signrelay.yaml}
  {{- range .row.listeners }}
  - {name: {{ .setting }}, value: ":{{ .port }}"}
  {{- end }}
  {{- if and (include "signrelay.plain" .root) (has "tls" .row.reads) .row.listeners }}
  - {name: SIGNRELAY_TLS_REDIRECT_ADDR, value: ":8880"}
  {{- end }}
  - {name: SIGNRELAY_ADMIN_ADDR, value: ":9090"}
  {{- if eq .name "sandbox" }}
  {{- $service := printf "%s-sandbox" (include "signrelay.fullname" .root) }}
  {{- $below := printf "%s.%s" $service .root.Release.Namespace }}
  {{- $hosts := concat (list $service $below (printf "%s.svc" $below) (printf "%s.svc.cluster.local" $below)) (dig "sandbox" "hosts" list $values.config) }}
  - {name: SIGNRELAY_SANDBOX_HOSTS, value: {{ join "," $hosts | quote }}} # the names of its Service
  {{- end }}
  {{- if hasKey $secrets "nats.password" }}
  - {name: SIGNRELAY_NATS_USER, value: {{ .row.user | default .name }}}
  {{- end }}
  {{- if and $values.redis.users.secret (hasKey $secrets "redis.password") }}
  - {name: SIGNRELAY_REDIS_USERNAME, value: {{ .row.user | default .name }}}
  {{- end }}
  {{- range $setting, $_ := $secrets }}
  - name: {{ include "signrelay.variable" $setting }}{{ ne $setting "nats.creds" | ternary "_FILE" "" }}
    value: /etc/signrelay/secrets/{{ $setting }}
  {{- end }}
  {{- if and $values.templates (has "templates" .row.reads) }}
  - {name: SIGNRELAY_TEMPLATES_DIR, value: /etc/signrelay/templates}
  {{- end }}
  {{- with dig "limits" "memory" "" .row.resources }}
  - {name: GOMEMLIMIT, value: {{ include "signrelay.memory" . | quote }}}
  {{- end }}
  {{- with .row.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .row.envFrom }}
envFrom: {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: settings, mountPath: /etc/signrelay/settings, readOnly: true}
  {{- if $secrets }}
  - {name: secrets, mountPath: /etc/signrelay/secrets, readOnly: true}
  {{- end }}
  {{- if and $values.templates (has "templates" .row.reads) }}
  - {name: templates, mountPath: /etc/signrelay/templates, readOnly: true}
  {{- end }}
  {{- if eq .name "archiver" }}
  - {name: temporary, mountPath: /tmp}
  {{- end }}
  {{- with .row.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
