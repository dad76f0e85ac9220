{{/* The services that run, as YAML by their names: what files/services.yaml says of each, its values, and its stage of the flow. */}}
{{- define "signrelay.services" -}}
{{- $rows := .Files.Get "files/services.yaml" | fromYaml -}}
{{- $stages := .Files.Get "files/flow.yaml" | fromYaml -}}
{{- $run := dict -}}
{{- range $name, $values := .Values.services -}}
{{- $idle := and (eq $name "kafka-bridge") (not (dig "kafka" "brokers" list $.Values.config)) -}}
{{- if and $values.enabled (not $idle) -}}
{{- $stage := dict "stage" (get $stages $name) -}}
{{- $_ := set $run $name (merge $stage (include "signrelay.own" (dict "root" $ "values" $values) | fromYaml) $values (get $rows $name)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $run -}}
{{- end -}}

{{/* What a pod may have of its own in place of the common value. */}}
{{- define "signrelay.own" -}}
{{- $own := dict -}}
{{- range list "env" "envFrom" "deploymentAnnotations" "podAnnotations" "podLabels" "nodeSelector" "tolerations" "affinity" "priorityClassName" "topologySpread" "extraVolumes" "extraVolumeMounts" "initContainers" "extraContainers" -}}
{{- $_ := set $own . (get (ternary $.values $.root.Values (hasKey $.values .)) .) -}}
{{- end -}}
{{- toYaml $own -}}
{{- end -}}

{{/* What a pod beside the services is: provision, doctor, kafka-refill. `values` is where its values are, if not under its name. */}}
{{- define "signrelay.hook" -}}
{{- $rows := .root.Files.Get "files/services.yaml" | fromYaml -}}
{{- $values := get .root.Values (.values | default .name) -}}
{{- toYaml (merge (include "signrelay.own" (dict "root" .root "values" (dict)) | fromYaml) $values (get $rows .name)) -}}
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

{{/* The pods' service account; of the job one of its own, which is there before the release's objects. */}}
{{- define "signrelay.account" -}}
{{- $account := .root.Values.serviceAccount -}}
{{- if $account.create -}}
{{- $account.name | default (include "signrelay.fullname" .root) }}{{ eq .name "provision" | ternary "-provision" "" -}}
{{- else -}}
{{- $account.name | default "default" -}}
{{- end -}}
{{- end -}}
{{/* The number of its pods is somebody else's: the HPA's or KEDA's. An ordered stage is not scaled: one works at a time. */}}
{{- define "signrelay.scaled" -}}
{{- if or (and .root.Values.hpa.enabled (eq .name "ingest")) (and .root.Values.keda.enabled .row.stage (not .row.stage.ordered)) -}}
yes
{{- end -}}
{{- end -}}
