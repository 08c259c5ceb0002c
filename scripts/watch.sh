#!/usr/bin/env bash
#
# Runs the function on this machine as Lambda would: `cargo lambda watch` in front of it, and the
# Timestream emulator behind it. Ctrl-C stops both.
#
# Variables: EMULATOR_PORT (9202), LAMBDA_PORT (9000), RUN_DIR (.run, for data and log of the
# emulator), and every option of the connector; without a credential among them the function requires
# none.
set -euo pipefail
# bash cannot catch signals that were ignored when it started, as in the background of another script.
if [[ -z ${SIGNALS_RESET:-} ]] && env --default-signal=INT,TERM true 2>/dev/null; then
    exec env --default-signal=INT,TERM SIGNALS_RESET=1 "$BASH" "${BASH_SOURCE[0]}" "$@"
fi
unset SIGNALS_RESET
# Each program gets its own process group: Ctrl-C reaches only this script, which stops them.
set -m
cd "$(dirname "${BASH_SOURCE[0]}")/.."

emulator_port=${EMULATOR_PORT:-9202}
lambda_port=${LAMBDA_PORT:-9000}
folder=${RUN_DIR:-.run}
started=()

fail() {
    printf 'make watch: %s\n' "$*" >&2
    exit 1
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

for port in "$emulator_port" "$lambda_port"; do
    if listens "$port"; then
        fail "port $port is in use; choose others with EMULATOR_PORT and LAMBDA_PORT"
    fi
done

cargo build --package timestream-emulator
# Otherwise the first request would wait for this build, beyond its own deadline.
cargo build --bin bootstrap
mkdir -p "$folder"
"${CARGO_TARGET_DIR:-target}/debug/timestream-emulator" \
    --listen "127.0.0.1:$emulator_port" --data-dir "$folder/timestream" \
    --table prometheus/samples,magnetic_writes=true --table prometheus/metrics >"$folder/emulator.log" 2>&1 &
emulator=$!
started=("$emulator")
# The watcher's group includes cargo and the function.
stop() {
    trap '' INT TERM
    local process
    for process in "${started[@]}"; do
        kill -TERM -- "-$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
}
trap stop EXIT
trap 'exit 0' INT TERM
for ((tries = 0; tries < 300; tries++)); do
    if listens "$emulator_port"; then break; fi
    kill -0 "$emulator" 2>/dev/null || break
    sleep 0.1
done
if ! listens "$emulator_port"; then
    cat "$folder/emulator.log" >&2
    fail "the emulator did not start; its log is above"
fi

export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_REGION=us-east-1
export AWS_ENDPOINT_URL="http://127.0.0.1:$emulator_port"
export default_database="${default_database-prometheus}" default_table="${default_table-samples}"
cat <<END

Timestream emulator  http://127.0.0.1:$emulator_port  (credentials local / local, data in $folder/timestream)
Function             http://127.0.0.1:$lambda_port  (remote write at /write, remote read at /read)
Ctrl-C stops both.

END
# Without --ignore-changes the watcher starts builds forever on some file systems.
scripts/lambda.sh cargo lambda watch --ignore-changes --bin bootstrap \
    --invoke-address 127.0.0.1 --invoke-port "$lambda_port" &
started=("$!" "${started[@]}")
wait "$!"
