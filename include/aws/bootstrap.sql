-- What an administrator runs once on the database that dbt builds in, before the first run: as a superuser, with autocommit
-- (external schemas cannot be made inside a transaction), for example `psql -f include/aws/bootstrap.sql`.
--
-- Again?   Redshift has no IF NOT EXISTS for users and roles: on a second run those two fail, and everything after
--          them may be repeated as often as you like. So go on after errors (psql does), or leave the two out.
-- Prefix   The names stand here as with an empty GAME_ANALYTICS_SCHEMA_PREFIX. For the prefix dev_ put it before each, and
--          before the Glue database, since external tables live there by name:
--              sed -E 's/\b(staging|intermediate|marts|snapshots|reference|operations|spectrum)\b/dev_&/g' \
--                  include/aws/bootstrap.sql | sed "s/'game_analytics'/'dev_game_analytics'/"
-- Role     `iam_role default` is the role that the cluster or namespace has as its default. For another one write its
--          ARN in quotes, and the same in GAME_ANALYTICS_SPECTRUM_ROLE.

-- No password is written here, so none can be read here or in the query log. With IAM (REDSHIFT_METHOD=iam) it stays
-- disabled. With a secret: put a random password into the secret, set it once by
--     alter user dbt password '<the same>'
-- and switch the secret's rotation on, which replaces it at once, so that what was typed is worth nothing.
create user dbt password disable;

-- Who reads the marts. People get it by: grant role analysts to <user>
create role analysts;

-- dbt owns its schemas, so it needs no right to make others, and no right to anything else in the database.
create schema if not exists staging authorization dbt;
create schema if not exists intermediate authorization dbt;
create schema if not exists marts authorization dbt;
create schema if not exists snapshots authorization dbt;
create schema if not exists reference authorization dbt;
create schema if not exists operations authorization dbt;

-- A schema that was there before keeps its owner.
alter schema staging owner to dbt;
alter schema intermediate owner to dbt;
alter schema marts owner to dbt;
alter schema snapshots owner to dbt;
alter schema reference owner to dbt;
alter schema operations owner to dbt;

-- The lake. Only the owner may make external tables and register partitions. Nobody else needs this schema, and raw
-- events name players: whoever may see them gets: grant usage on schema spectrum to <user>
create external schema if not exists spectrum
from data catalog database 'game_analytics'
iam_role default
create external database if not exists;

alter schema spectrum owner to dbt;

-- Analysts read marts and reference data, and nothing with personal data in full. dbt makes its tables anew, so
-- grants on tables would be lost: these are default privileges of what dbt makes. Spectrum needs temporary tables,
-- which everybody may make unless that was revoked. Others are named in GAME_ANALYTICS_READERS: each run grants them the
-- usage of marts, and dbt its tables; who is to read reference data, too, gets it here.
grant usage on schema marts to role analysts;
grant usage on schema reference to role analysts;
grant select on all tables in schema marts to role analysts;
grant select on all tables in schema reference to role analysts;
alter default privileges for user dbt in schema marts grant select on tables to role analysts;
alter default privileges for user dbt in schema reference grant select on tables to role analysts;

-- A statement that waits and runs for more than an hour is a mistake: it ends, its task is retried, then told. Milliseconds.
alter user dbt set statement_timeout to 3600000;

-- Beyond SQL, in the parameter group of a provisioned cluster: a WLM queue for the query group game_analytics* with
-- wildcards on (a session's query group is <dag>/<run>/<model>), and a query monitoring rule on spectrum_scan_size_mb
-- that aborts what scans the whole lake by mistake. On Serverless: the query limits of the workgroup.
-- Isolation: select * from stv_db_isolation_level should say Snapshot Isolation for the database, or concurrent
-- readers and writers of the same tables may end with error 1023. If not, while nobody else is connected:
--     alter database <database> isolation level snapshot
