with flows as (
    select
        application_id,
        coalesce(game_currency, 'Unknown') as game_currency,
        coalesce(reason, 'Unknown') as reason,
        event_date,
        player_id,
        amount,
        {{ currency_flow_kind('direction', 'amount') }} as flow_kind
    from {{ ref('int_gameplay_events') }}
    where
        event_type = 'currency_flow'
        and {{ filter_changed_keys() }}
),

{#
    The sums are cast before coalesce() takes them together with the 0, because Redshift
    gives a decimal that is one of several cases at most 19 digits.
#}
summed as (
    select
        application_id,
        game_currency,
        reason,
        event_date,
        coalesce(
            cast(
                sum(case when flow_kind = 'source' then amount end) as decimal(28, 8)
            ),
            0
        ) as sources,
        coalesce(
            cast(sum(case when flow_kind = 'sink' then amount end) as decimal(28, 8)),
            0
        ) as sinks,
        count(*) as flow_count,
        sum(case when flow_kind = 'source' then 1 else 0 end) as source_count,
        sum(case when flow_kind = 'sink' then 1 else 0 end) as sink_count,
        sum(case when flow_kind = 'unknown_direction' then 1 else 0 end)
            as unknown_direction_count,
        sum(case when flow_kind = 'invalid_amount' then 1 else 0 end)
            as invalid_amount_count,
        count(distinct player_id) as players
    from flows
    group by 1, 2, 3, 4
),

final as (
    select
        application_id,
        game_currency,
        reason,
        event_date,
        cast(sources as decimal(28, 8)) as sources,
        cast(sinks as decimal(28, 8)) as sinks,
        cast(sources - sinks as decimal(28, 8)) as net,
        cast(flow_count as bigint) as flow_count,
        cast(source_count as bigint) as source_count,
        cast(sink_count as bigint) as sink_count,
        cast(unknown_direction_count as bigint) as unknown_direction_count,
        cast(invalid_amount_count as bigint) as invalid_amount_count,
        cast(players as bigint) as players
    from summed
)

select * from final
