-- An administrator runs this script once, before the first run, on the database that
-- dbt builds in. Run it as a superuser with autocommit, for example with `psql -f
-- include/aws/bootstrap.sql`: external schemas cannot be created inside a transaction.
--
-- Repeating: Redshift has no IF NOT EXISTS for users and roles, so these two statements
--     fail when the script is run again. All other statements can be repeated. Continue
--     after errors, as psql does, or leave the two statements out.
-- Schema prefix: the names in this script are those for an empty
--     GAME_ANALYTICS_SCHEMA_PREFIX. For the prefix dev_ every schema and the Glue
--     database need it, because the external tables are found there by name:
--         sed -E 's/\b(staging|intermediate|marts|snapshots|reference|operations|spectrum)\b/dev_&/g' \
--             include/aws/bootstrap.sql | sed "s/'game_analytics'/'dev_game_analytics'/"
-- Spectrum role: `iam_role default` is the default role of the cluster or namespace.
--     For another role write its ARN in quotes here and in
--     GAME_ANALYTICS_SPECTRUM_ROLE.

-- The script contains no password, so none can be read here or in the query log. With
-- IAM authentication (REDSHIFT_METHOD=iam) the password stays disabled. With a secret,
-- put a random password into the secret, set it once with
--     alter user dbt password '<the password of the secret>'
-- and switch on the secret's rotation. The rotation replaces the password at once, so
-- the typed one becomes invalid.
create user dbt password disable;

-- The role for reading the marts. Give it to a person with: grant role analysts to
-- <user>
create role analysts;

-- The user dbt owns its schemas, so it needs no right to create schemas and no other
-- right in the database.
create schema if not exists staging authorization dbt;
create schema if not exists intermediate authorization dbt;
create schema if not exists marts authorization dbt;
create schema if not exists snapshots authorization dbt;
create schema if not exists reference authorization dbt;
create schema if not exists operations authorization dbt;

-- The statements above do not change the owner of a schema that existed before.
alter schema staging owner to dbt;
alter schema intermediate owner to dbt;
alter schema marts owner to dbt;
alter schema snapshots owner to dbt;
alter schema reference owner to dbt;
alter schema operations owner to dbt;

-- The schema of the external tables over the lake. Only its owner may create external
-- tables and register partitions. Other users do not need it, and raw events contain
-- personal data. A person who may read them gets access with
--     grant usage on schema spectrum to <user>
create external schema if not exists spectrum
from data catalog database 'game_analytics'
iam_role default
create external database if not exists;

alter schema spectrum owner to dbt;

-- Analysts read marts and reference data, which contain no complete personal data. dbt
-- drops and creates its tables again, so grants on tables would be lost. Default
-- privileges apply to every table that dbt creates. Spectrum needs temporary tables,
-- which every user may create unless this right was revoked. Further readers are named
-- in GAME_ANALYTICS_READERS: each run grants them usage of the schema marts, and dbt
-- grants them its tables. If they must also read reference data, grant it here.
grant usage on schema marts to role analysts;
grant usage on schema reference to role analysts;
grant select on all tables in schema marts to role analysts;
grant select on all tables in schema reference to role analysts;
alter default privileges for user dbt in schema marts
grant select on tables to role analysts;
alter default privileges for user dbt in schema reference
grant select on tables to role analysts;

-- Masking: if GAME_ANALYTICS_UNMASKED_READERS is not `everyone`, the user dbt makes and
-- attaches masking policies. Redshift has no smaller right for that than the role
-- sys:secadmin, which can also create users and grant roles. So it is not granted here:
-- read "Masking" in include/aws/security.md, then run
--     grant role sys:secadmin to dbt

-- The catalog and the dbt docs show the sizes of the tables. By default only superusers
-- may read this view.
grant select on svv_table_info to dbt;

-- A statement that waits and runs for more than an hour is an error: Redshift cancels
-- it, and its task is retried and then reported as failed. The value is in
-- milliseconds.
alter user dbt set statement_timeout to 3600000;

-- Some settings cannot be made with SQL. In the parameter group of a provisioned
-- cluster, add a WLM queue for the query group game_analytics* with wildcards enabled
-- (a session's query group is <dag>/<run>/<model>), and a query monitoring rule on
-- spectrum_scan_size_mb that aborts a query that scans the whole lake by mistake. On
-- Serverless, use the query limits of the workgroup.
--
-- Isolation level: stv_db_isolation_level should show Snapshot Isolation for the
-- database. With another level, concurrent readers and writers of one table may fail
-- with error 1023. To change it while no other user is connected, run
--     alter database <database> isolation level snapshot
