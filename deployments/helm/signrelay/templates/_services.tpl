{{/* The services that run, as YAML by their names: what files/services.yaml says of each, its values, and its stage of the flow. */}}
{{- define "signrelay.services" -}}
{{- $rows := .Files.Get "files/services.yaml" | fromYaml -}}
{{- $stages := .Files.Get "files/flow.yaml" | fromYaml -}}
{{- $run := dict -}}
{{- range $name, $values := .Values.services -}}
{{- $idle := and (eq $name "kafka-bridge") (not (dig "kafka" "brokers" list $.Values.config)) -}}
{{- if and $values.enabled (not $idle) -}}
{{- $stage := dict "stage" (get $stages $name) -}}
{{- $_ := set $run $name (merge $stage $values (get $rows $name)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $run -}}
{{- end -}}

{{/* What is left of a name after the release's: signrelay-ingest, or acme-signrelay-ingest. */}}
{{- define "signrelay.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* By these a service's pods are known, and for good: a Deployment's selector cannot be changed. */}}
{{- define "signrelay.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .name }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "signrelay.labels" -}}
{{ include "signrelay.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The number of its pods is somebody else's: the HPA's or KEDA's. An ordered stage is not scaled: one works at a time. */}}
{{- define "signrelay.scaled" -}}
{{- if or (and .root.Values.hpa.enabled (eq .name "ingest")) (and .root.Values.keda.enabled .row.stage (not .row.stage.ordered)) -}}
yes
{{- end -}}
{{- end -}}
