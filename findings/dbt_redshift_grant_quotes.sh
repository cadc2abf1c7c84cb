#!/usr/bin/env bash
# dbt-redshift 1.11.1, dbt-adapters 1.24.5: grants are written without quotes, and revokes with quotes.
#
# Expected: the `grants` config takes the names of users, and dbt quotes a name in the same way wherever it writes it,
# so that a name with a hyphen or a capital letter works and can be revoked again.
# What happens: the statement for the user `BI-Reader` is `grant select on ... to BI-Reader`, which Redshift's grammar
# does not take because of the hyphen. A revoke of the same user is written as `from "BI-Reader"`. With the behaviour
# flag redshift_grants_extended (prefixes user:, group: and role:) neither statement has quotes.
# Why it matters: Redshift creates users of an identity provider or of IAM federation with names such as
# `IAMR:Analyst`. They can be granted nothing by dbt, and a name with a capital letter alone is granted to its
# lower-case namesake.
# This product accepts only lower-case names without special characters for its readers.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dbt-core==1.11.16 dbt-adapters==1.24.5 dbt-redshift==1.11.1

export DBT_SEND_ANONYMOUS_USAGE_STATS=false

cat >profiles.yml <<'YAML'
# Nothing listens there: the statements are only rendered.
shop:
  target: dev
  outputs:
    dev: {type: redshift, host: localhost, port: 5439, user: etl, password: unused, dbname: shop, schema: marts}
YAML
mkdir models
render() {
    printf 'name: shop\nprofile: shop\nflags: {redshift_grants_extended: %s}\n' "$1" >dbt_project.yml
    venv/bin/dbt --quiet compile --no-introspect --no-populate-cache --inline "
        {% set orders = api.Relation.create(schema='marts', identifier='orders') %}
        {{ $2(orders, 'select', ['$3']) }}" | awk 'NF {$1 = $1; print}'
}

grant=$(render false get_grant_sql BI-Reader)
revoke=$(render false get_revoke_sql BI-Reader)
extended_grant=$(render true get_grant_sql user:BI-Reader)
extended_revoke=$(render true get_revoke_sql user:BI-Reader)

venv/bin/pip list --disable-pip-version-check 2>/dev/null | awk '/^dbt-(core|adapters|redshift) / {print $1, $2}'
echo "The name of a user is quoted when a privilege is revoked, and not quoted when it is granted:"
echo "    $grant"
echo "    $revoke"
echo "    redshift_grants_extended: $extended_grant"
echo "    redshift_grants_extended: $extended_revoke"

if [[ "$grant" != 'grant select on "marts"."orders" to BI-Reader' ||
    "$revoke" != 'revoke select on "marts"."orders" from "BI-Reader"' ||
    "$extended_grant" != "$grant" || "$extended_revoke" != *" from BI-Reader" ]]; then
    echo "The behaviour has changed: the statements are quoted in another way." >&2
    exit 1
fi
