{#
    Redshift gives a decimal that is one of several cases at most 19 digits, so no case
    has an amount and another number.

    Events have a time to the second. The order of two flows of one player, currency
    and second is not known, so the balance before and after each of them is not known
    either.
#}
with flows as (
    select
        application_id,
        player_id,
        coalesce(game_currency, 'Unknown') as game_currency,
        event_date,
        event_timestamp,
        event_id,
        amount,
        measured_value as balance,
        {{ currency_flow_kind('direction', 'amount') }} as flow_kind
    from {{ ref('int_gameplay_events') }}
    where
        event_type = 'currency_flow'
        and player_id is not null
        and {{ filter_changed_keys() }}
),

flows_of_seconds as (
    select
        application_id,
        player_id,
        game_currency,
        event_date,
        event_timestamp,
        count(*) as flow_count
    from flows
    group by 1, 2, 3, 4, 5
),

flows_in_order as (
    select
        flows.application_id,
        flows.player_id,
        flows.game_currency,
        flows.event_date,
        flows.event_timestamp,
        flows.event_id,
        flows.balance,
        case when flows_of_seconds.flow_count = 1 then flows.balance end
            as balance_after,
        case when flows.flow_kind = 'source' then flows.amount end as source,
        case when flows.flow_kind = 'sink' then flows.amount end as sink,
        flows.amount
        * case
            when flows.flow_kind = 'source' then 1
            when flows.flow_kind = 'sink' then -1
        end as balance_change,
        row_number() over (
            partition by
                flows.application_id,
                flows.player_id,
                flows.game_currency,
                flows.event_date
            order by flows.event_timestamp, flows.event_id
        ) as flow_number,
        row_number() over (
            partition by
                flows.application_id,
                flows.player_id,
                flows.game_currency,
                flows.event_date
            order by flows.event_timestamp desc, flows.event_id desc
        ) as flow_number_from_end,
        row_number() over (
            partition by
                flows.application_id,
                flows.player_id,
                flows.game_currency,
                flows.event_date,
                flows.balance is null
            order by flows.event_timestamp desc, flows.event_id desc
        ) as balance_number_from_end
    from flows
    inner join flows_of_seconds
        on
            flows.application_id = flows_of_seconds.application_id
            and flows.player_id = flows_of_seconds.player_id
            and flows.game_currency = flows_of_seconds.game_currency
            and flows.event_date = flows_of_seconds.event_date
            and flows.event_timestamp = flows_of_seconds.event_timestamp
),

flows_with_previous_balance as (
    select
        *,
        lag(balance_after) over (
            partition by application_id, player_id, game_currency, event_date
            order by flow_number
        ) as previous_balance
    from flows_in_order
),

checked_flows as (
    select
        *,
        balance_after - previous_balance - balance_change as difference
    from flows_with_previous_balance
),

final as (
    select
        application_id,
        player_id,
        game_currency,
        event_date,
        count(*) as flow_count,
        coalesce(cast(sum(source) as decimal(28, 8)), 0) as sources,
        coalesce(cast(sum(sink) as decimal(28, 8)), 0) as sinks,
        cast(
            max(case when flow_number = 1 then balance_after - balance_change end)
            as decimal(28, 8)
        ) as opening_balance,
        cast(
            max(case when flow_number_from_end = 1 then balance_after end)
            as decimal(28, 8)
        ) as closing_balance,
        max(case when balance_number_from_end = 1 then balance end) as last_balance,
        count(difference) as checked_flow_count,
        cast(sum(case when difference <> 0 then 1 else 0 end) as bigint)
            as unreconciled_flow_count
    from checked_flows
    group by 1, 2, 3, 4
)

select * from final
