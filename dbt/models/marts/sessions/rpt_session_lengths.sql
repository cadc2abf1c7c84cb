with application_days as (
    select
        application_id,
        activity_date
    from {{ ref('int_application_days') }}
    where {{ filter_changed_keys(['activity_date']) }}
),

session_lengths as (
    select
        application_id,
        session_date,
        bucket_order,
        session_count,
        players
    from {{ ref('int_session_lengths') }}
    where {{ filter_changed_keys() }}
),

buckets as (
    {% for bucket in session_length_buckets() -%}
        select
            {{ loop.index }} as bucket_order,
            '{{ bucket.name }}' as bucket,
            {{ bucket.from or 0 }} as from_seconds,
            {{ bucket.below or 'null' }} as below_seconds
        {% if not loop.last -%}
            union all
        {% endif %}
    {% endfor %}
),

final as (
    select
        application_days.application_id,
        application_days.activity_date as session_date,
        cast(buckets.bucket_order as integer) as bucket_order,
        cast(buckets.bucket as varchar(1024)) as bucket,
        cast(buckets.from_seconds as bigint) as from_seconds,
        cast(buckets.below_seconds as bigint) as below_seconds,
        cast(coalesce(session_lengths.session_count, 0) as bigint) as session_count,
        cast(coalesce(session_lengths.players, 0) as bigint) as players
    from application_days
    cross join buckets
    left join session_lengths
        on
            application_days.application_id = session_lengths.application_id
            and application_days.activity_date = session_lengths.session_date
            and buckets.bucket_order = session_lengths.bucket_order
)

select * from final
