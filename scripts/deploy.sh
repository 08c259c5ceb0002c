#!/usr/bin/env bash
#
# Deploys the function to AWS Lambda by four questions, of which Enter takes the default of each:
#
#   make deploy
#
#   REGION          region of the stack; by default that of the profile
#   STACK_NAME      name of the stack, by default timestream-prometheus-connector
#   AUTHENTICATION  bearer (a token), basic (user prometheus with a password) or iam (signed requests)
#   TABLES          create: database and tables; tables: those of an existing database; existing: none.
#                   By default what is missing
#
# A variable of one of these names replaces its question, so that all four make it run unattended. Further variables:
#
#   DATABASE, TABLE  names of the database and of the table of samples (prometheus, samples)
#   ARCHITECTURE     arm64 (default) or x86_64
#   ARCHIVE          a zip file of the function, such as that of a release, instead of a build from the source
#   PARAMETERS       further parameters of template.yaml, 'Connectors=true LogRetentionDays=90'
#   NEW_CREDENTIAL   1 replaces the token or the password of the stack
#   CHECK_SECONDS    time in which the deployed URL has to work (90)
#   DEPLOY_DIR       folder of what it writes (.deploy)
#
# It generates the token or the password, builds, deploys without further questions, writes the section for
# prometheus.yml, checks it with promtool, checks the deployed URL by a write and a query, and lets the function make the
# checks of `bootstrap doctor`. All it writes is in DEPLOY_DIR/REGION/STACK_NAME: a second run uses the same token and offers the earlier choices. Parameters of the
# stack that are not named here stay as they are. Secrets reach SAM by a file of a temporary folder, because command
# lines are visible in the process list.
#
# Works with bash 3.2, which macOS has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*"; }
fail() {
  printf 'make deploy: %s\n' "$*" >&2
  exit 1
}

# aws_call COMMAND...: see scripts/deploy.py.
aws_call() { "$python" -B scripts/deploy.py "$@"; }

# earlier NAME FILE: prints the choice that an earlier run has stored.
earlier() {
  [[ ! -f $2 ]] || sed -n "s/^$1=//p" "$2"
}

# choose NAME DEFAULT IS_VALID QUESTION: sets the variable NAME, unless the environment has it.
choose() {
  local name=$1 default=$2 is_valid=$3 question=$4 value
  if [[ -n ${!name:-} ]]; then
    "$is_valid" "${!name}" || fail "$name is '${!name}'; expected $expected"
    return
  fi
  # Sets what is expected.
  "$is_valid" "$default" || default=
  while true; do
    if ! IFS= read -r -p "$question [$default]: " value; then
      say
      fail "$name is not set, and there is nobody to choose; run it on a terminal or set $name ($expected)"
    fi
    # Without a terminal read prints no prompt.
    value=${value:-$default}
    if "$is_valid" "$value"; then break; fi
    say "'$value' is not possible; expected $expected"
  done
  printf -v "$name" '%s' "$value"
}

is_region() {
  expected="a region of Timestream: $regions"
  [[ " $regions " == *" $1 "* ]]
}
is_stack_name() {
  expected='letters, digits and hyphens, at most 128, with a letter first'
  [[ $1 =~ ^[A-Za-z][A-Za-z0-9-]{0,127}$ ]]
}
is_authentication() {
  expected='bearer, basic or iam'
  [[ $1 == bearer || $1 == basic || $1 == iam ]]
}
is_tables() {
  expected='create, tables or existing'
  [[ $1 == create || $1 == tables || $1 == existing ]]
}

# Prints 32 random bytes as 64 hexadecimal digits.
random() {
  (openssl rand -hex 32 2>/dev/null || od -An -N32 -tx1 /dev/urandom) | tr -d ' \n'
}

# ensure_secret FILE WAS: makes the file with a new secret unless it is there. WAS is the method of the existing stack.
ensure_secret() {
  if [[ -s $1 && ${NEW_CREDENTIAL:-} != 1 ]]; then
    return
  fi
  if [[ $2 == "$AUTHENTICATION" && ${NEW_CREDENTIAL:-} != 1 ]]; then
    fail "stack $STACK_NAME has a credential that is not in $1; write it there, or set NEW_CREDENTIAL=1 to replace it" \
      "for all senders"
  fi
  local new
  new=$(mktemp "$1.XXXXXX")
  random >"$new"
  chmod 600 "$new"
  mv -f "$new" "$1"
}

# parameter NAME VALUE: one line of the file of parameters.
parameter() {
  printf "%s: '%s'\n" "$1" "${2//\'/\'\'}"
}

# Writes the parameters of the stack, with its secrets.
write_parameters() {
  local creates_database=false creates_tables=false word bcrypt hash
  [[ $TABLES != create ]] || creates_database=true
  [[ $TABLES == existing ]] || creates_tables=true
  if [[ $generates_credential == 1 && $AUTHENTICATION == basic ]]; then
    bcrypt=$(scripts/python.sh password)
    hash=$("$bcrypt" -B scripts/bcrypt_hash.py <"$password_file")
  fi
  {
    parameter Authentication "$AUTHENTICATION"
    parameter Architecture "$architecture"
    parameter DefaultDatabase "$DATABASE"
    parameter DefaultTable "$TABLE"
    parameter CreateDatabase "$creates_database"
    parameter CreateTable "$creates_tables"
    if [[ $generates_credential == 1 ]]; then
      case $AUTHENTICATION in
        bearer) parameter BearerToken "$(cat "$token_file")" ;;
        basic) parameter BasicAuthUsers "prometheus:$hash" ;;
      esac
    fi
    set -f
    for word in ${PARAMETERS:-}; do
      [[ $word == *=* ]] || fail "PARAMETERS has '$word'; expected NAME=VALUE, separated by spaces"
      parameter "${word%%=*}" "${word#*=}"
    done
    set +f
  } >"$work/parameters.yaml"
}

build() {
  if [[ -n ${ARCHIVE:-} ]]; then
    [[ -f $ARCHIVE ]] || fail "ARCHIVE is $ARCHIVE, which is no file; expected a zip file of the function"
    local archive
    archive="$(cd "$(dirname "$ARCHIVE")" && pwd)/$(basename "$ARCHIVE")"
    sed "s|^      CodeUri: \.\$|      CodeUri: '$archive'|" template.yaml >"$work/template.yaml"
    template=(--template-file "$work/template.yaml")
  elif [[ $architecture == arm64 ]]; then
    scripts/lambda.sh --arm64 sam build
  else
    scripts/lambda.sh sam build --parameter-overrides "Architecture=$architecture"
  fi
}

deploy() {
  # A stack whose creation failed can neither be updated nor created; it has nothing.
  aws_call remove-failed "$REGION" "$STACK_NAME"
  # Without a build it reads the template of .aws-sam.
  scripts/lambda.sh sam deploy --config-file "$PWD/samconfig.toml" ${template[@]+"${template[@]}"} \
    --stack-name "$STACK_NAME" --region "$REGION" --no-confirm-changeset --no-fail-on-empty-changeset \
    --parameter-overrides "file://$work/parameters.yaml"
}

# Prints the lines that let Prometheus authenticate.
credentials() {
  case $AUTHENTICATION in
    bearer) printf '    authorization:\n      credentials_file: connector.token\n' ;;
    basic) printf '    basic_auth:\n      username: prometheus\n      password_file: connector.password\n' ;;
    iam) printf '    sigv4:\n      region: %s\n      service_name: execute-api\n' "$REGION" ;;
  esac
}

write_prometheus_yml() {
  {
    say "# Written by make deploy for stack $STACK_NAME in $REGION: sections for prometheus.yml."
    say "remote_write:"
    say "  - url: $url/write"
    credentials
    say "    queue_config:"
    say "      capacity: 50000"
    say "      max_shards: 4"
    say "      max_samples_per_send: 10000"
    say "      retry_on_http_429: true"
    if [[ $AUTHENTICATION == iam ]]; then
      say "# Prometheus does not sign remote read: use a signing proxy, or AUTHENTICATION=bearer."
    else
      say "remote_read:"
      say "  - url: $url/read"
      credentials
    fi
  } >"$folder/prometheus.yml"
}

check_prometheus_yml() {
  local promtool
  if ! promtool=$(scripts/prometheus.sh promtool 2>"$work/promtool.log"); then
    say "There is no promtool, so $folder/prometheus.yml is not checked; the attempts to obtain it:"
    cat "$work/promtool.log"
    return
  fi
  "$promtool" check config "$folder/prometheus.yml" >"$work/promtool.log" 2>&1 || {
    cat "$work/promtool.log" >&2
    fail "promtool rejects $folder/prometheus.yml; its reason is above"
  }
  say "$folder/prometheus.yml: valid for promtool"
}

# Checks the deployed URL from end to end: rejects strangers, writes a sample, returns it.
check_deployment() {
  local secret=
  case $AUTHENTICATION in
    bearer) secret=$token_file ;;
    basic) secret=$password_file ;;
  esac
  if [[ -n $secret && ! -s $secret ]]; then
    say "$url is not checked, because $secret does not have its credential."
    return
  fi
  aws_call check "$REGION" "$url" "$AUTHENTICATION" "$secret" ||
    fail "the stack is deployed, but $url does not work; the reason is above, and scripts/lambda.sh sam logs" \
      "--stack-name $STACK_NAME --region $REGION has more"
}

# Lets the function check its own role, network and tables, as `bootstrap doctor` does.
examine_function() {
  aws_call doctor "$REGION" "$(aws_call output "$REGION" "$STACK_NAME" FunctionName)" ||
    fail "the stack is deployed, but lacks something; the reasons are above"
}

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(scripts/python.sh lambda)
deploy_dir=${DEPLOY_DIR:-.deploy}
template=()
expected=

account=$(aws_call account) || exit 1
regions=$(aws_call regions)
say "AWS account $account. Enter takes the value in brackets."

# 1 and 2: the stack.
default=$(earlier REGION "$deploy_dir/choices")
choose REGION "${default:-$(aws_call region)}" is_region 'Region'
default=$(earlier STACK_NAME "$deploy_dir/choices")
choose STACK_NAME "${default:-timestream-prometheus-connector}" is_stack_name 'Stack name'
folder=$deploy_dir/$REGION/$STACK_NAME
token_file=$folder/connector.token
password_file=$folder/connector.password
mkdir -p "$folder"

# An earlier choice, else the parameter of an existing stack.
aws_call stack "$REGION" "$STACK_NAME" >"$work/stack" || exit 1
was=$(earlier Authentication "$work/stack")

# 3: authentication.
default=$(earlier AUTHENTICATION "$folder/choices")
choose AUTHENTICATION "${default:-${was:-bearer}}" is_authentication \
  'Authentication: bearer (a token), basic (a password) or iam (signatures)'

# 4: database and tables.
default=$(earlier DATABASE "$folder/choices")
[[ -n $default ]] || default=$(earlier DefaultDatabase "$work/stack")
DATABASE=${DATABASE:-${default:-prometheus}}
default=$(earlier TABLE "$folder/choices")
[[ -n $default ]] || default=$(earlier DefaultTable "$work/stack")
TABLE=${TABLE:-${default:-samples}}
default=$(earlier TABLES "$folder/choices")
if [[ -z $default ]]; then
  case "$(earlier CreateDatabase "$work/stack"),$(earlier CreateTable "$work/stack")" in
    true,*) default=create ;;
    false,true) default=tables ;;
    false,false) default=existing ;;
    *) [[ -n ${TABLES:-} ]] || default=$(aws_call missing "$REGION" "$DATABASE" "$TABLE") ||
      fail "cannot find out which tables exist; the reason is above. TABLES=create, tables or existing needs no look" ;;
  esac
fi
choose TABLES "$default" is_tables \
  "Database $DATABASE with table $TABLE: create both, only the tables, or use the existing"

# The parameter of an existing stack stays unless the variable says otherwise.
architecture=${ARCHITECTURE:-$(earlier Architecture "$work/stack")}
architecture=${architecture:-arm64}
printf 'REGION=%s\nSTACK_NAME=%s\n' "$REGION" "$STACK_NAME" >"$deploy_dir/choices"
printf 'AUTHENTICATION=%s\nTABLES=%s\nDATABASE=%s\nTABLE=%s\n' "$AUTHENTICATION" "$TABLES" "$DATABASE" "$TABLE" \
  >"$folder/choices"

# Credentials of other kinds are given by PARAMETERS, or were with an earlier deployment.
generates_credential=1
case " ${PARAMETERS:-} $(tr '\n' ' ' <"$work/stack")" in
  *" BearerToken="* | *" WriteBearerToken="* | *" BearerTokenSecret="[!\ ]* | *" WriteBearerTokenSecret="[!\ ]* | \
    *" BasicAuthUsers="* | *" BasicAuthUsersSecret="[!\ ]*) generates_credential=0 ;;
esac
if [[ $generates_credential == 1 ]]; then
  case $AUTHENTICATION in
    bearer) ensure_secret "$token_file" "$was" ;;
    basic) ensure_secret "$password_file" "$was" ;;
  esac
fi

write_parameters
build
deploy
url=$(aws_call output "$REGION" "$STACK_NAME" QueryUrl)
write_prometheus_yml
check_prometheus_yml
check_deployment
examine_function

say
say "Deployed stack $STACK_NAME in $REGION: $url"
case $AUTHENTICATION in
  bearer) say "Put $folder/prometheus.yml into your prometheus.yml, and $token_file beside it." ;;
  basic) say "Put $folder/prometheus.yml into your prometheus.yml, and $password_file beside it." ;;
  iam) say "Put $folder/prometheus.yml into your prometheus.yml, and attach $(aws_call output "$REGION" "$STACK_NAME" InvokePolicyArn) to the identity of Prometheus." ;;
esac
