#!/usr/bin/env bash
#
# Runs everything on this machine: the Timestream emulator, the connector in front of it, a small
# exporter that the connector itself scrapes as a job, and a real Prometheus that scrapes itself and
# the connector, remote-writes to the connector and remote-reads from it. Ctrl-C stops everything.
#
# Timestream's data is stored in .run/timestream. Prometheus starts empty each time, so its results
# about earlier runs can only come from Timestream.
#
# Variables: EMULATOR_PORT (9202), CONNECTOR_PORT (9201), EXPORTER_PORT (9203), PROMETHEUS_PORT (9090),
# RUN_DIR (.run), and those of scripts/prometheus.sh.
set -euo pipefail
# bash cannot catch signals that were ignored when it started, as in the background of another script.
if [[ -z ${SIGNALS_RESET:-} ]] && env --default-signal=INT,TERM true 2>/dev/null; then
  exec env --default-signal=INT,TERM SIGNALS_RESET=1 "$BASH" "${BASH_SOURCE[0]}" "$@"
fi
unset SIGNALS_RESET
# Each program gets its own process group: Ctrl-C reaches only this script, which then stops
# them in order.
set -m
cd "$(dirname "${BASH_SOURCE[0]}")/.."

emulator_port=${EMULATOR_PORT:-9202}
connector_port=${CONNECTOR_PORT:-9201}
exporter_port=${EXPORTER_PORT:-9203}
prometheus_port=${PROMETHEUS_PORT:-9090}
folder=${RUN_DIR:-.run}
started=()

say() { printf '%s\n' "$*"; }
fail() { printf 'make run: %s\n' "$*" >&2; exit 1; }

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# get PORT PATH: prints a response with its headers.
get() {
  exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
  cat <&3
  exec 3<&- 3>&-
}

# start NAME PORT COMMAND...: runs it in the background, with its output in .run/NAME.log.
start() {
  local name=$1 port=$2
  shift 2
  "$@" >"$folder/$name.log" 2>&1 &
  started=("$!" "${started[@]}")
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    if listens "$port"; then return; fi
    kill -0 "$!" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 20 "$folder/$name.log" >&2
  fail "$name did not start; its last lines are above, the whole log is $folder/$name.log"
}

# Newest first: Prometheus sends its remaining samples before the connector stops.
stop() {
  trap '' INT TERM
  local process
  # bash before 4.4 takes an empty list for an unset variable.
  for process in ${started[@]+"${started[@]}"}; do
    # With the compilers that cargo has started.
    kill -TERM -- "-$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
}
trap stop EXIT
trap 'say; say "Stopping."; exit 0' INT TERM

for port in "$emulator_port" "$connector_port" "$exporter_port" "$prometheus_port"; do
  if listens "$port"; then
    fail "port $port is in use; choose others with EMULATOR_PORT, CONNECTOR_PORT, EXPORTER_PORT and PROMETHEUS_PORT"
  fi
done

say "Building the programs; the first time this takes about three minutes on two cores."
# In the background, so that a signal is handled at once.
make --no-print-directory programs &
started=("$!")
wait "$!" || fail "the build failed, see above"
started=()
target=${CARGO_TARGET_DIR:-target}/debug
mkdir -p "$folder"

start emulator "$emulator_port" "$target/timestream-emulator" \
  --listen "127.0.0.1:$emulator_port" --data-dir "$folder/timestream" \
  --table prometheus/samples,magnetic_writes=true --table prometheus/metrics

start exporter "$exporter_port" "$target/exporter" "127.0.0.1:$exporter_port"

cat >"$folder/connectors.json" <<JSON
[
  {
    "name": "shop",
    "type": "prometheus",
    "target_database": "prometheus",
    "target_table": "samples",
    "schedule_ms": 5000,
    "config": { "endpoint": "http://127.0.0.1:$exporter_port/metrics", "job": "shop" }
  }
]
JSON

AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local \
  AWS_ENDPOINT_URL="http://127.0.0.1:$emulator_port" \
  start connector "$connector_port" "$target/bootstrap" \
  --web.listen-address="127.0.0.1:$connector_port" \
  --default-database=prometheus --default-table=samples \
  --connectors.file="$folder/connectors.json" --state-store="file:$folder/connectors"

say
say "Timestream emulator  http://127.0.0.1:$emulator_port  (credentials local / local, data in $folder/timestream)"
say "Connector            http://127.0.0.1:$connector_port  (PromQL at /query; remote write at /write, remote read at /read)"
say "Exporter             http://127.0.0.1:$exporter_port/metrics  (scraped by the connector, see its /v1/connectors)"

say
say "Try, in another terminal:"
say "  curl 'http://127.0.0.1:$connector_port/api/v1/query?query=shop_orders_total'"
say "  curl -g 'http://127.0.0.1:$connector_port/api/v1/query?query=count_over_time(shop_orders_total[1h])'"
say "  xdg-open http://127.0.0.1:$connector_port/query    # or open this page in a browser"
say

cat >"$folder/prometheus.yml" <<YAML
global:
  scrape_interval: 5s
scrape_configs:
  - job_name: prometheus
    static_configs: [{ targets: ['127.0.0.1:$prometheus_port'] }]
  - job_name: timestream-connector
    static_configs: [{ targets: ['127.0.0.1:$connector_port'] }]
remote_write:
  - url: http://127.0.0.1:$connector_port/write
    queue_config: { capacity: 50000, max_shards: 4, max_samples_per_send: 10000 }
remote_read:
  - url: http://127.0.0.1:$connector_port/read
    # Prometheus does not have what the connector scrapes itself.
    read_recent: true
YAML
rm -rf "$folder/prometheus"

# start_prometheus PROGRAM
start_prometheus() {
  start prometheus "$prometheus_port" "$1" \
    --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/prometheus" \
    --web.listen-address="127.0.0.1:$prometheus_port" --storage.remote.flush-deadline=2s
  local pages
  case $(get "$prometheus_port" /query) in
    'HTTP/1.'?' 200'*) pages='its own pages' ;;
    *) pages="built without its pages: use http://127.0.0.1:$connector_port/query" ;;
  esac
  say "Prometheus           http://127.0.0.1:$prometheus_port  ($pages; PromQL at /api/v1/query?query=up)"
  say "  curl -g 'http://127.0.0.1:$prometheus_port/api/v1/query?query=count_over_time(up[1h])'"
}

# Obtaining Prometheus may take minutes, in which the connector stores what it scrapes itself.
say "Waiting for the first samples, and for a Prometheus."
scripts/prometheus.sh >"$folder/prometheus.path" &
obtaining=$!
started=("$obtaining" "${started[@]}")

stored=
while true; do
  if [ -n "$obtaining" ] && ! kill -0 "$obtaining" 2>/dev/null; then
    # It is the newest of those that were started.
    started=("${started[@]:1}")
    if wait "$obtaining"; then
      start_prometheus "$(cat "$folder/prometheus.path")"
    else
      say "Prometheus           none, for the reasons above; point your own at the connector"
    fi
    obtaining=
  fi
  # If a program ends by itself, so does the run.
  for process in "${started[@]}"; do
    [ "$process" = "$obtaining" ] || kill -0 "$process" 2>/dev/null ||
      fail "a program has ended; see the logs in $folder"
  done
  now=$(get "$emulator_port" /_emulator/counters | sed -n 's/.*"points_stored": *\([0-9]*\).*/\1/p') || now=$stored
  if [ "$now" != "$stored" ]; then
    say "$(date +%H:%M:%S)  $now samples stored in Timestream"
    stored=$now
  fi
  # In the background, so that signals are handled at once.
  sleep "$([ -z "$obtaining" ] && [ "${stored:-0}" != 0 ] && echo 5 || echo 1)" &
  wait "$!" || true
done
