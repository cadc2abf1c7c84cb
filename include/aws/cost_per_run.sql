-- The bytes that each run of the last seven days has read from S3, and their price, by
-- model and external table.
--
-- Run it as a superuser or as the user dbt, because other users see only their own
-- queries. SYS views keep about seven days. The label of a query is the query group of
-- its session, <dag>/<run>/<model>.
--
-- Redshift Spectrum bills the bytes read from S3, and each query at least 10 MB.
-- cost_usd includes this minimum. Redshift Serverless and RG nodes read S3 without an
-- extra charge. For them cost_usd is what Spectrum would have billed.
with prices as (
    -- The price in US dollars per TB (2^40 bytes) that Redshift Spectrum reads. It
    -- depends on the Region: https://aws.amazon.com/redshift/pricing
    select cast(5.00 as decimal(8, 2)) as usd_per_tb
),

queries as (
    select
        query_id,
        trim(query_label) as query_group,
        split_part(trim(query_label), '/', 1) as dag,
        split_part(trim(query_label), '/', 2) as run,
        split_part(trim(query_label), '/', 3) as model,
        start_time,
        elapsed_time
    from sys_query_history
    where
        start_time > dateadd(day, -7, getdate())
        and query_label like '%/%/%'
),

-- One row per query and external table. The view has a row per segment of a scan.
scans as (
    select
        query_id,
        trim(table_name) as external_table,
        sum(scanned_files) as files,
        max(total_partitions) as total_partitions,
        max(qualified_partitions) as partitions,
        sum(returned_bytes) as bytes
    from sys_external_query_detail
    where source_type like 'S3%'
    group by 1, 2
),

scans_by_model as (
    select
        queries.query_group,
        scans.external_table,
        count(*) as scan_count,
        sum(scans.files) as files,
        sum(scans.partitions) as partitions,
        max(scans.total_partitions) as registered_partitions,
        sum(scans.bytes) as bytes,
        sum(greatest(scans.bytes, 10 * 1024 * 1024)) as billed_bytes
    from queries
    inner join scans on queries.query_id = scans.query_id
    group by 1, 2
),

-- All statements of a model, including those that read nothing from S3. elapsed_time is
-- in microseconds and includes waiting.
models as (
    select
        query_group,
        dag,
        run,
        model,
        min(start_time) as started_at,
        count(*) as query_count,
        sum(elapsed_time) as elapsed_time
    from queries
    group by 1, 2, 3, 4
)

select
    models.dag,
    models.run,
    models.model,
    models.started_at,
    models.query_count,
    cast(models.elapsed_time / 1000000.0 as decimal(18, 1)) as seconds,
    scans_by_model.external_table,
    scans_by_model.scan_count,
    scans_by_model.partitions,
    scans_by_model.registered_partitions,
    scans_by_model.files,
    scans_by_model.bytes,
    -- A decimal division of such a wide number would keep only four decimal places.
    cast(
        cast(scans_by_model.billed_bytes as double precision)
        * prices.usd_per_tb / 1099511627776
        as decimal(18, 6)
    ) as cost_usd
from models
cross join prices
left join scans_by_model on models.query_group = scans_by_model.query_group
order by
    models.run desc,
    cost_usd desc nulls last,
    models.started_at,
    scans_by_model.external_table;
