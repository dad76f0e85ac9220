{{/* What every pod of ours is: nobody's user, without a token for the cluster's API, spread, with its settings and secrets as files. */}}
{{- define "signrelay.pod" -}}
{{- $secrets := include "signrelay.secrets" . | fromYaml -}}
{{- $values := .root.Values -}}
automountServiceAccountToken: false
# Else a Service called signrelay-ingest would become variables such as SIGNRELAY_INGEST_PORT, which are no settings.
enableServiceLinks: false
{{- with $values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532 # may read the secrets' files
  seccompProfile: {type: RuntimeDefault}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
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
{{- end -}}

{{/* The container, but for its doors and probes. A secret is a file, and its variable with _FILE says where. */}}
{{- define "signrelay.container" -}}
{{- $secrets := include "signrelay.secrets" . | fromYaml -}}
{{- $values := .root.Values -}}
{{- $program := ternary "signrelay" .name (eq .name "provision") -}}
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
  {{- range .row.doors }}
  - {name: {{ .setting }}, value: ":{{ .port }}"}
  {{- end }}
  - {name: SIGNRELAY_ADMIN_ADDR, value: ":9090"}
  {{- if hasKey $secrets "nats.password" }}
  - {name: SIGNRELAY_NATS_USER, value: {{ ternary "operator" .name (eq .name "provision") }}}
  {{- end }}
  {{- range $setting, $_ := $secrets }}
  - name: {{ include "signrelay.variable" $setting }}{{ ne $setting "nats.creds" | ternary "_FILE" "" }}
    value: /etc/signrelay/secrets/{{ $setting }}
  {{- end }}
  {{- if and $values.templates (has "templates" .row.reads) }}
  - {name: SIGNRELAY_TEMPLATES_DIR, value: /etc/signrelay/templates}
  {{- end }}
  # The collector works harder from the request on, well below the limit at which the kernel would end the process.
  - {name: GOMEMLIMIT, valueFrom: {resourceFieldRef: {resource: requests.memory}}}
  {{- with $values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  - {name: settings, mountPath: /etc/signrelay/settings, readOnly: true}
  {{- if $secrets }}
  - {name: secrets, mountPath: /etc/signrelay/secrets, readOnly: true}
  {{- end }}
  {{- if and $values.templates (has "templates" .row.reads) }}
  - {name: templates, mountPath: /etc/signrelay/templates, readOnly: true}
  {{- end }}
{{- end -}}
