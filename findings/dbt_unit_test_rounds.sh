#!/usr/bin/env bash
# dbt-core 1.11.16: a unit test rounds the expected value to the column's type before it compares.
#
# Expected: dbt's page on unit tests says that a test compares the rows of the model with the expected rows. A model
# that returns 3.33 should fail a test that expects 3.3349.
# What happens: dbt casts each expected value to the type that the model's column has in the warehouse. 3.3349 becomes
# 3.33 in a decimal(18, 2) column, and the test passes. The value 3.3351 becomes 3.34 and fails.
# Why it matters: a unit test is the place where a team proves its rounding of money. If the model rounds too early, the
# column's type has too few digits, and the expected value with all digits is rounded in the same way: the test proves
# what the model does, not what it should do.
# This product compares rounded money with a computation in Python in addition to dbt's unit tests.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    dbt-core==1.11.16 dbt-adapters==1.24.5 dbt-duckdb==1.11.1 duckdb==1.5.6

export DBT_SEND_ANONYMOUS_USAGE_STATS=false

cat >dbt_project.yml <<'YAML'
name: shop
profile: shop
YAML
cat >profiles.yml <<'YAML'
shop: {target: dev, outputs: {dev: {type: duckdb, path: dev.duckdb}}}
YAML
mkdir models
echo "select cast(10 as decimal(18, 2)) as amount, cast(0.3333 as decimal(18, 4)) as rate" >models/payments.sql
# This model should keep four digits, but it rounds to two.
echo "select cast(amount * rate as decimal(18, 2)) as converted from {{ ref('payments') }}" >models/revenue.sql
write_test() {
    cat >models/unit_tests.yml <<YAML
unit_tests:
  - name: converted_amount
    model: revenue
    given:
      - input: ref('payments')
        rows: [{amount: 10.00, rate: 0.3333}]
    expect:
      rows: [{converted: $1}]
YAML
}
run_test() {
    write_test "$1"
    venv/bin/dbt --no-use-colors test >test.log || true
    grep --only-matching --extended-regexp 'PASS=[0-9]+ WARN=0 ERROR=[0-9]+' test.log
}

write_test 0
venv/bin/dbt --quiet run
near=$(run_test 3.3349)
far=$(run_test 3.3351)

venv/bin/pip list --disable-pip-version-check 2>/dev/null | awk '/^dbt-(core|adapters|duckdb) / {print $1, $2}'
echo "The model returns 3.33, because its column is decimal(18, 2). The unit test rounds what it should compare with:"
echo "    expected 3.3349: $near"
echo "    expected 3.3351: $far"

if [[ "$near" != "PASS=1 WARN=0 ERROR=0" || "$far" != "PASS=0 WARN=0 ERROR=1" ]]; then
    echo "The behaviour has changed: 3.3349 should pass and 3.3351 should fail." >&2
    exit 1
fi
