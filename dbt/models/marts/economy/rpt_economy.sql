{#
    The first flow of a player's day is compared with the balance at the end of the
    player's previous day with flows, if that day is at most 30 days earlier. Otherwise
    a day would cost as much as the whole history.
#}
{%- set days = changed_days() -%}
{%- set read_days = changed_days(before=30) -%}

with flow_sums as (
    select
        application_id,
        game_currency,
        event_date,
        sum(sources) as sources,
        sum(sinks) as sinks,
        sum(flow_count) as flow_count,
        sum(source_count) as source_count,
        sum(sink_count) as sink_count,
        sum(unknown_direction_count) as unknown_direction_count,
        sum(invalid_amount_count) as invalid_amount_count
    from {{ ref('rpt_economy_by_reason') }}
    where {{ filter_days('event_date', days) }}
    group by 1, 2, 3
),

currency_days as (
    select
        application_id,
        player_id,
        game_currency,
        event_date,
        flow_count,
        opening_balance,
        closing_balance,
        last_balance,
        checked_flow_count,
        unreconciled_flow_count
    from {{ ref('int_currency_days') }}
    where {{ filter_days('event_date', read_days) }}
),

currency_days_in_order as (
    select
        *,
        lag(event_date) over (
            partition by application_id, player_id, game_currency
            order by event_date
        ) as previous_date,
        lag(closing_balance) over (
            partition by application_id, player_id, game_currency
            order by event_date
        ) as previous_balance,
        row_number() over (
            partition by
                application_id, game_currency, event_date, last_balance is null
            order by last_balance
        ) as balance_rank
    from currency_days
),

checked_days as (
    select
        application_id,
        game_currency,
        event_date,
        last_balance,
        balance_rank,
        case
            when previous_date >= event_date - 30
                then opening_balance - previous_balance
        end as difference,
        checked_flow_count,
        unreconciled_flow_count,
        {#
            Each flow of the day but the first was compared with the one before it, and
            the first with the balance that was carried over, if there is one.
        -#}
        case
            when
                checked_flow_count = flow_count - 1
                and unreconciled_flow_count = 0
                and (
                    previous_balance is null
                    or previous_date < event_date - 30
                    or opening_balance = previous_balance
                )
                then closing_balance - opening_balance
        end as reconciled_balance_change
    from currency_days_in_order
    where {{ filter_days('event_date', days) }}
),

player_counts as (
    select
        application_id,
        game_currency,
        event_date,
        count(*) as players,
        count(last_balance) as players_with_balance,
        sum(checked_flow_count) + count(difference) as checked_flow_count,
        sum(unreconciled_flow_count)
        + sum(case when difference <> 0 then 1 else 0 end) as unreconciled_flow_count,
        count(reconciled_balance_change) as reconciled_players,
        sum(reconciled_balance_change) as reconciled_balance_change
    from checked_days
    group by 1, 2, 3
),

balances as (
    select
        checked_days.application_id,
        checked_days.game_currency,
        checked_days.event_date,
        {{ nearest_rank(
            'checked_days.last_balance', 'checked_days.balance_rank',
            'player_counts.players_with_balance', 50
        ) }} as median_balance,
        {{ nearest_rank(
            'checked_days.last_balance', 'checked_days.balance_rank',
            'player_counts.players_with_balance', 90
        ) }} as p90_balance
    from checked_days
    inner join player_counts
        on
            checked_days.application_id = player_counts.application_id
            and checked_days.game_currency = player_counts.game_currency
            and checked_days.event_date = player_counts.event_date
    where checked_days.last_balance is not null
    group by 1, 2, 3
),

final as (
    select
        flow_sums.application_id,
        flow_sums.game_currency,
        flow_sums.event_date,
        cast(flow_sums.sources as decimal(28, 8)) as sources,
        cast(flow_sums.sinks as decimal(28, 8)) as sinks,
        cast(flow_sums.sources - flow_sums.sinks as decimal(28, 8)) as net,
        {{ ratio('flow_sums.sinks', 'flow_sums.sources') }} as sink_source_ratio,
        cast(flow_sums.flow_count as bigint) as flow_count,
        cast(flow_sums.source_count as bigint) as source_count,
        cast(flow_sums.sink_count as bigint) as sink_count,
        cast(flow_sums.unknown_direction_count as bigint) as unknown_direction_count,
        cast(flow_sums.invalid_amount_count as bigint) as invalid_amount_count,
        cast(coalesce(player_counts.players, 0) as bigint) as players,
        cast(coalesce(player_counts.players_with_balance, 0) as bigint)
            as players_with_balance,
        cast(balances.median_balance as decimal(24, 8)) as median_balance,
        cast(balances.p90_balance as decimal(24, 8)) as p90_balance,
        cast(coalesce(player_counts.checked_flow_count, 0) as bigint)
            as checked_flow_count,
        cast(coalesce(player_counts.unreconciled_flow_count, 0) as bigint)
            as unreconciled_flow_count,
        cast(coalesce(player_counts.reconciled_players, 0) as bigint)
            as reconciled_players,
        coalesce(
            cast(player_counts.reconciled_balance_change as decimal(28, 8)), 0
        ) as reconciled_balance_change
    from flow_sums
    left join player_counts
        on
            flow_sums.application_id = player_counts.application_id
            and flow_sums.game_currency = player_counts.game_currency
            and flow_sums.event_date = player_counts.event_date
    left join balances
        on
            flow_sums.application_id = balances.application_id
            and flow_sums.game_currency = balances.game_currency
            and flow_sums.event_date = balances.event_date
)

select * from final
