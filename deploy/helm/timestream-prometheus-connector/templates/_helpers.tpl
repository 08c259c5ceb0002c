{{- define "connector.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "connector.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "connector.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "connector.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "connector.selectorLabels" -}}
app.kubernetes.io/name: {{ include "connector.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "connector.labels" -}}
{{ include "connector.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "connector.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "connector.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "connector.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- /* Not empty if there are connector definitions. */}}
{{- define "connector.hasJobs" -}}
{{- if or .Values.jobs.definitions .Values.jobs.existingConfigMap }}true{{ end }}
{{- end }}

{{- /* Not empty if there can be several pods at a time. */}}
{{- define "connector.hasReplicas" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}true{{ end }}
{{- end }}

{{- /* The options of the program as YAML: those of other values, then config. */}}
{{- define "connector.config" -}}
{{- $config := dict }}
{{- if .Values.webConfig.existingSecret }}
{{- $_ := set $config "web_config_file" "/etc/connector/web/web.yml" }}
{{- end }}
{{- if include "connector.hasJobs" . }}
{{- $_ := set $config "connectors_file" "/etc/connector/jobs/connectors.json" }}
{{- end }}
{{- if .Values.jobs.existingSecret }}
{{- $_ := set $config "secrets_dir" "/etc/connector/secrets" }}
{{- end }}
{{- if .Values.persistence.enabled }}
{{- $_ := set $config "dead_letter" "file:/data/dead-letters" }}
{{- $_ := set $config "state_store" "file:/data/state" }}
{{- end }}
{{- toYaml (mergeOverwrite $config (deepCopy .Values.config)) }}
{{- end }}

{{- /* Fails on values that together make no working connector. */}}
{{- define "connector.validate" -}}
{{- $config := fromYaml (include "connector.config" .) }}
{{- $hasCredential := or .Values.existingSecret .Values.webConfig.existingSecret .Values.extraEnvFrom }}
{{- range .Values.extraEnv }}
{{- if or (hasSuffix "bearer_token" .name) (eq .name "basic_auth_users") }}
{{- $hasCredential = true }}
{{- end }}
{{- end }}
{{- if not (or $hasCredential .Values.allowUnauthenticated) }}
{{- fail "clients need a credential: set existingSecret to a Secret with the key bearer_token, or webConfig.existingSecret; allowUnauthenticated=true opens the port to all" }}
{{- end }}
{{- if and (not .Values.image.digest) (eq .Values.image.tag "latest") }}
{{- fail "image.tag must be a version: with latest a restart may change the program" }}
{{- end }}
{{- if include "connector.hasReplicas" . }}
{{- if and .Values.persistence.enabled (not (has "ReadWriteMany" .Values.persistence.accessModes)) }}
{{- fail "several pods cannot share the volume: set replicas=1 and autoscaling.enabled=false, or persistence.accessModes to ReadWriteMany; or use dead_letter=sqs:... and state_store=dynamodb:... without persistence" }}
{{- end }}
{{- if and (include "connector.hasJobs" .) (not $config.state_store) }}
{{- fail "every pod would run every job: set config.state_store to dynamodb:TABLE, or replicas=1" }}
{{- end }}
{{- if and $config.ha_tracking (ne (toString $config.ha_tracking) "false") (not $config.state_store) }}
{{- fail "every pod would elect replicas of its own: set config.state_store to dynamodb:TABLE for ha_tracking, or replicas=1" }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The port of web_listen_address. */}}
{{- define "connector.port" -}}
{{- $config := fromYaml (include "connector.config" .) }}
{{- $config.web_listen_address | default ":9201" | splitList ":" | last }}
{{- end }}

{{- define "connector.hasVolumes" -}}
{{- if or .Values.webConfig.existingSecret (include "connector.hasJobs" .) .Values.jobs.existingSecret .Values.persistence.enabled .Values.extraVolumes .Values.extraVolumeMounts }}true{{ end }}
{{- end }}
