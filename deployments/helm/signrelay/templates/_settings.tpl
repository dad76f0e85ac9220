{{/* A service's settings file: the parts of .Values.config that it reads. */}}
{{- define "signrelay.settings" -}}
{{- $settings := dict -}}
{{- range $part := .row.reads -}}
{{- if and (eq $part "sources") (not (has "api" $.row.reads)) -}}
{{- $sources := list -}}
{{- range $.root.Values.config.sources -}}
{{- $sources = append $sources (omit . "api") -}}
{{- end -}}
{{- $_ := set $settings $part $sources -}}
{{- else if eq $part "short-links" -}}
{{- $shortener := $.root.Values.config.shortener | default dict -}}
{{- $links := pick $shortener "kind" "public_url" -}}
{{- range $outside := list "bitly" "rebrandly" -}}
{{- with pick (get $shortener $outside | default dict) "domain" -}}
{{- $_ := set $links $outside . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $settings "shortener" $links -}}
{{- else if hasKey $.root.Values.config $part -}}
{{- $_ := set $settings $part (get $.root.Values.config $part) -}}
{{- end -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* The secrets that a service reads, as YAML: setting to {name, key}. */}}
{{- define "signrelay.secrets" -}}
{{- $mine := dict -}}
{{- range $setting, $ref := .root.Values.secrets -}}
{{- $words := splitList "." $setting -}}
{{- $part := first $words -}}
{{- if eq $part "source" -}}
{{- $part = ternary "api" "sources" (eq (index $words 3) "api") -}}
{{- end -}}
{{- if has $part $.row.reads -}}
{{- $_ := set $mine $setting $ref -}}
{{- end -}}
{{- end -}}
{{- $users := .root.Values.nats.users -}}
{{- if and $users.secret (has "nats" .row.reads) -}}
{{- $user := .row.user | default .name -}}
{{- $key := ternary $user (printf "%s.creds" $user) (eq $users.kind "password") -}}
{{- $_ := set $mine (printf "nats.%s" $users.kind) (dict "name" $users.secret "key" $key) -}}
{{- end -}}
{{- $redis := .root.Values.redis.users.secret -}}
{{- if and $redis (has "redis" .row.reads) -}}
{{- $_ := set $mine "redis.password" (dict "name" $redis "key" (.row.user | default .name)) -}}
{{- end -}}
{{- toYaml $mine -}}
{{- end -}}

{{/* A setting's variable: nats.tls.ca is SIGNRELAY_NATS_TLS_CA. */}}
{{- define "signrelay.variable" -}}
SIGNRELAY_{{ . | replace "." "_" | replace "-" "_" | upper }}
{{- end -}}

{{/* The unknown settings below a key, one per line. */}}
{{- define "signrelay.unknown" -}}
{{- range $key, $value := .values -}}
{{- $path := printf "%s%s" $.above $key -}}
{{- if kindIs "map" $value -}}
{{- include "signrelay.unknown" (dict "known" $.known "above" (printf "%s." $path) "values" $value) -}}
{{- else if eq $path "sources" -}}
{{- range $value -}}
{{- include "signrelay.unknown" (dict "known" $.known "above" "sources." "values" .) -}}
{{- end -}}
{{- else if not (hasKey $.known $path) -}}
{{- printf "%s\n" $path -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Reports mistakes in the values that the schema cannot express. */}}
{{- define "signrelay.check" -}}
{{- $wrong := list -}}
{{- $services := include "signrelay.services" . | fromYaml -}}
{{- $known := .Files.Get "files/settings.yaml" | fromYaml -}}
{{- range include "signrelay.unknown" (dict "known" $known "above" "" "values" .Values.config) | trim | splitList "\n" | uniq | compact -}}
{{- $wrong = append $wrong (printf "config.%s: no such setting" .) -}}
{{- end -}}
{{- $sources := list -}}
{{- range .Values.config.sources -}}
{{- $sources = append $sources (printf "%s.%s" .provider .name) -}}
{{- end -}}
{{- range $setting, $_ := .Values.secrets -}}
{{- $words := splitList "." $setting -}}
{{- $key := $setting -}}
{{- if eq (first $words) "source" -}}
{{- $key = printf "sources.%s" (slice $words 3 | join ".") -}}
{{- if not (has (slice $words 1 3 | join ".") $sources) -}}
{{- $wrong = append $wrong (printf "secrets.\"%s\": config.sources has no %s of %s" $setting (index $words 2) (index $words 1)) -}}
{{- end -}}
{{- end -}}
{{- if not (hasKey $known $key) -}}
{{- $wrong = append $wrong (printf "secrets.\"%s\": no such setting" $setting) -}}
{{- else if ne (get $known $key) "file" -}}
{{- $wrong = append $wrong (printf "secrets.\"%s\": is not a secret: set it in config" $setting) -}}
{{- end -}}
{{- end -}}
{{- range $party, $variable := dict "nats" "nats://nats.nats:4222" "redis" "redis://redis.redis:6379/0" -}}
{{- if not (or (dig $party "url" "" $.Values.config) (hasKey $.Values.secrets (printf "%s.url" $party))) -}}
{{- $wrong = append $wrong (printf "config.%s.url is missing: set it, such as %s, or secrets.\"%s.url\" if it contains a password" $party $variable $party) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.config.sources -}}
{{- $wrong = append $wrong "config.sources is empty: name at least one, because ingest accepts only their callbacks" -}}
{{- end -}}
{{- if and (hasKey $services "shortener") (not (dig "shortener" "public_url" "" .Values.config)) -}}
{{- $wrong = append $wrong "config.shortener.public_url is missing: set the beginning of signers' links, such as https://sign.acme.example" -}}
{{- end -}}
{{- $keda := .Values.keda -}}
{{- if and $keda.enabled (not (or $keda.monitoringEndpoint $keda.authenticationRef $keda.secretTargetRef)) -}}
{{- $wrong = append $wrong "keda.monitoringEndpoint is missing: set host:port of the NATS server's monitoring, or keda.authenticationRef or keda.secretTargetRef if it is a secret" -}}
{{- end -}}
{{- if and $keda.authenticationRef $keda.secretTargetRef -}}
{{- $wrong = append $wrong "keda.authenticationRef and keda.secretTargetRef are both set: use your own TriggerAuthentication, or let the chart make one" -}}
{{- end -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) -}}
{{- $wrong = append $wrong "gateway.parentRefs is empty: name the Gateway that the routes attach to" -}}
{{- end -}}
{{- range $name, $row := $services -}}
{{- range $listener := $row.listeners -}}
{{- range $way := list "ingress" "gateway" -}}
{{- if and (get $.Values $way).enabled $listener.path (not (or $row.host (get $.Values $way).host)) -}}
{{- $wrong = append $wrong (printf "%s.host is missing: set it, or services.%s.host" $way $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $row.maxReplicas (lt (int $row.maxReplicas) (int $row.replicas)) -}}
{{- $wrong = append $wrong (printf "services.%s.maxReplicas is less than its replicas" $name) -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n  %s" (join "\n  " $wrong)) -}}
{{- end -}}
{{- end -}}
