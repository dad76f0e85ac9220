{{/* The ports of a comma-separated list of host:port or URLs, as YAML under the key ports. An entry without a port has the default port. */}}
{{- define "signrelay.ports" -}}
{{- $usual := .usual -}}
{{- $ports := list -}}
{{- range splitList "," .in -}}
{{- $ports = append $ports (regexFind ":[0-9]+(/|\\?|$)" (trim .) | regexFind "[0-9]+" | default $usual | int) -}}
{{- end -}}
{{- toYaml (dict "ports" ($ports | uniq)) -}}
{{- end -}}

{{/* The destinations of a service: DNS, the parties that it calls, and the sandbox if it replaces them. */}}
{{- define "signrelay.egress" -}}
{{- $policy := .root.Values.networkPolicy -}}
{{- $config := .root.Values.config -}}
{{- $in := dict
  "nats" (dict "in" (dig "nats" "url" "" $config) "usual" 4222)
  "redis" (dict "in" (dig "redis" "url" "" $config) "usual" 6379)
  "kafka" (dict "in" (dig "kafka" "brokers" list $config | join ",") "usual" 9092)
  "smtp" (dict "in" "" "usual" (dig "email" "smtp" "port" 587 $config | int))
  "web" (dict "in" "" "usual" 443) -}}
- to: {{- toYaml $policy.dns.to | nindent 4 }}
  ports:
    {{- range $policy.dns.ports }}
    - {port: {{ int . }}, protocol: UDP}
    - {port: {{ int . }}, protocol: TCP}
    {{- end }}
{{- $calls := .row.calls }}
{{- if and (has "tls" .row.reads) (dig "tls" "acme" "domains" list $config) }}{{ $calls = append $calls "web" | uniq }}{{ end }}
{{- range $calls }}
{{- if or (ne . "kafka") (dig "kafka" "brokers" list $config) }}
{{- $party := get $policy . }}
{{- $found := include "signrelay.ports" (get $in .) | fromYaml }}
- ports:
    {{- range $party.ports | default $found.ports }}
    - {port: {{ int . }}, protocol: TCP}
    {{- end }}
  {{- with $party.to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- $rows := .root.Files.Get "files/services.yaml" | fromYaml }}
{{- $to := list }}
{{- if eq .name "doctor" }}{{ $to = list "ingest" }}{{ end }}
{{- if .root.Values.services.sandbox.enabled }}
{{- if or (has "web" .row.calls) (has "smtp" .row.calls) }}{{ $to = append $to "sandbox" }}{{ end }}
{{- if eq .name "sandbox" }}
{{- range $name, $row := $rows }}
{{- if eq (include "signrelay.receivesCallbacks" $row) "true" }}{{ $to = append $to $name }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $to }}
- to:
    - podSelector:
        matchLabels: {{- include "signrelay.selector" (dict "root" $.root "name" .) | nindent 10 }}
  ports:
    {{- range (get $rows .).listeners }}
    - {port: {{ .port }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- with $policy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* signrelay.receivesCallbacks: whether outside parties, or the sandbox in their place, call a service: it has a path of the Ingress, other than that of the links. */}}
{{- define "signrelay.receivesCallbacks" -}}
{{- $found := false }}
{{- range .listeners }}{{ if and .path (ne .path "/l") }}{{ $found = true }}{{ end }}{{ end }}
{{- $found }}
{{- end -}}
