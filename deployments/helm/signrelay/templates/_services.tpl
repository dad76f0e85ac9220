{{/* The services that run, as YAML by name: each with its row of files/services.yaml, its values, and its stages of the flow. */}}
{{- define "signrelay.services" -}}
{{- $rows := .Files.Get "files/services.yaml" | fromYaml -}}
{{- $stages := .Files.Get "files/flow.yaml" | fromYaml -}}
{{- $run := dict -}}
{{- range $name, $values := .Values.services -}}
{{- $noKafka := and (eq $name "kafka-bridge") (not (dig "kafka" "brokers" list $.Values.config)) -}}
{{- $noArchive := and (eq $name "archiver") (or (dig "archive" "disabled" false $.Values.config) (not (dig "archive" "url" "" $.Values.config))) -}}
{{- $noIndex := and (eq $name "indexer") (or (dig "index" "disabled" false $.Values.config) (not (dig "index" "url" "" $.Values.config))) -}}
{{- $noConsole := and (eq $name "console") (not (dig "console" "url" "" $.Values.config)) -}}
{{- $idle := or $noConsole $noKafka $noArchive $noIndex -}}
{{- if and $values.enabled (not $idle) -}}
{{- $own := list -}}
{{- range $stages -}}
{{- if eq .service $name -}}{{- $own = append $own . -}}{{- end -}}
{{- end -}}
{{- $stage := dict "stages" $own "ordered" (dig "ordered" false (first $own | default dict)) -}}
{{- $_ := set $run $name (merge $stage (include "signrelay.own" (dict "root" $ "values" $values) | fromYaml) $values (get $rows $name)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $run -}}
{{- end -}}

{{/* The values that a service may set to replace the common one. */}}
{{- define "signrelay.own" -}}
{{- $own := dict -}}
{{- range list "env" "envFrom" "deploymentAnnotations" "podAnnotations" "podLabels" "nodeSelector" "tolerations" "affinity" "priorityClassName" "topologySpread" "extraVolumes" "extraVolumeMounts" "initContainers" "extraContainers" -}}
{{- $_ := set $own . (get (ternary $.values $.root.Values (hasKey $.values .)) .) -}}
{{- end -}}
{{- toYaml $own -}}
{{- end -}}

{{/* Whether the public listeners use TLS themselves: with a certificate in secrets, or with an ACME server. */}}
{{- define "signrelay.tls" -}}
{{- if or (hasKey .Values.secrets "tls.certificate") (dig "tls" "acme" "domains" list .Values.config) -}}yes{{- end -}}
{{- end -}}

{{/* Whether they also have a listener for plain HTTP. */}}
{{- define "signrelay.plain" -}}
{{- if and (include "signrelay.tls" .) (dig "tls" "redirect_addr" "" .Values.config) -}}yes{{- end -}}
{{- end -}}

{{/* The pods that are not services: provision, doctor, kafka-refill. `values` is the key of a pod's values, if it differs from the pod's name. */}}
{{- define "signrelay.hook" -}}
{{- $rows := .root.Files.Get "files/services.yaml" | fromYaml -}}
{{- $values := get .root.Values (.values | default .name) -}}
{{- toYaml (merge (include "signrelay.own" (dict "root" .root "values" (dict)) | fromYaml) $values (get $rows .name)) -}}
{{- end -}}

{{/* The prefix of all names, from the release's name: signrelay-ingest, or acme-signrelay-ingest. */}}
{{- define "signrelay.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The labels that select a service's pods. They must not change: a Deployment's selector is immutable. */}}
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
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* An object's metadata behind its name: labels, and annotations where there are any. `labels` and
`annotations` are its own. */}}
{{- define "signrelay.about" -}}
labels: {{- include "signrelay.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The pods' service account; the job has its own, which exists before the release's objects. */}}
{{- define "signrelay.account" -}}
{{- $account := .root.Values.serviceAccount -}}
{{- if $account.create -}}
{{- $account.name | default (include "signrelay.fullname" .root) }}{{ eq .name "provision" | ternary "-provision" "" -}}
{{- else -}}
{{- $account.name | default "default" -}}
{{- end -}}
{{- end -}}
{{/* The HPA or KEDA sets the number of pods. An ordered stage is not scaled: one replica works at a time. */}}
{{- define "signrelay.scaled" -}}
{{- if or (and .root.Values.hpa.enabled (eq .name "ingest")) (and .root.Values.keda.enabled .row.stages (not .row.ordered)) -}}
yes
{{- end -}}
{{- end -}}
