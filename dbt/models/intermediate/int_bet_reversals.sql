{#
    A rollback takes back the latest row of its player and bet that has the same amounts
    and is not taken back yet, so rows and rollbacks pair like brackets. The ledger has
    no time within a day: a day's wagers count first, then its results, its rollbacks
    and its cancels. A cancel ends a part of its bet: it takes back what is left of it.
#}
with bets as (
    select
        *,
        case
            when side = 'wager' then 1
            when side = 'rollback' then 3
            when side = 'cancel' then 4
            else 2
        end as order_in_day
    from {{ ref('int_bets') }}
    where {{ filter_changed_keys() }}
),

reversed_bets as (
    select distinct
        game_id,
        bet_id
    from bets
    where side in ('rollback', 'cancel')
),

ordered_rows as (
    select
        bets.*,
        row_number() over (
            partition by bets.game_id, bets.bet_id
            order by
                bets.bet_date, bets.order_in_day, bets.transaction_type,
                bets.player_id, bets.currency, bets.cash_amount, bets.bonus_amount,
                bets.copy_number
        ) as row_place
    from bets
    inner join reversed_bets
        on
            bets.game_id = reversed_bets.game_id
            and bets.bet_id = reversed_bets.bet_id
),

rows_with_part as (
    select
        *,
        coalesce(
            sum(case when side = 'cancel' then 1 else 0 end) over (
                partition by game_id, bet_id
                order by row_place
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as part_number,
        case when side = 'rollback' then -1 when side <> 'cancel' then 1 else 0 end
            as step
    from ordered_rows
),

rows_with_balance as (
    select
        *,
        sum(step) over (
            partition by
                game_id, bet_id, part_number, player_id, currency, cash_amount,
                bonus_amount
            order by row_place
            rows unbounded preceding
        ) as balance
    from rows_with_part
),

{# A rollback with nothing to take back lowers the floor from which rows are counted. #}
rows_with_floor as (
    select
        *,
        least(
            coalesce(
                min(balance) over (
                    partition by
                        game_id, bet_id, part_number, player_id, currency,
                        cash_amount, bonus_amount
                    order by row_place
                    rows between unbounded preceding and 1 preceding
                ),
                0
            ),
            0
        ) as floor_before
    from rows_with_balance
),

rows_with_depth as (
    select
        *,
        case
            when side = 'cancel' then 0
            when side <> 'rollback' then balance - floor_before
            when balance >= floor_before then balance - floor_before + 1
            else 0
        end as depth
    from rows_with_floor
),

paired_rows as (
    select
        *,
        case
            when
                side not in ('rollback', 'cancel')
                and lead(side) over (
                    partition by
                        game_id, bet_id, part_number, player_id, currency,
                        cash_amount, bonus_amount, depth
                    order by row_place
                ) = 'rollback'
                then lead(bet_date) over (
                    partition by
                        game_id, bet_id, part_number, player_id, currency,
                        cash_amount, bonus_amount, depth
                    order by row_place
                )
        end as rolled_back_date
    from rows_with_depth
),

parts as (
    select
        game_id,
        bet_id,
        part_number,
        max(case when side = 'cancel' then bet_date end) as cancelled_date,
        sum(
            case
                when side not in ('rollback', 'cancel') and rolled_back_date is null
                    then 1
                else 0
            end
        ) as remaining_count
    from paired_rows
    group by 1, 2, 3
),

final as (
    select
        paired_rows.bet_date,
        paired_rows.bet_id,
        paired_rows.player_id,
        paired_rows.game_id,
        paired_rows.currency,
        paired_rows.transaction_type,
        paired_rows.side,
        paired_rows.sign,
        paired_rows.cash_amount,
        paired_rows.bonus_amount,
        paired_rows.source_file,
        paired_rows.line_number,
        paired_rows.payload,
        paired_rows.copy_number,
        case
            when paired_rows.side not in ('rollback', 'cancel')
                then coalesce(paired_rows.rolled_back_date, parts.cancelled_date)
        end as reversed_date,
        case
            when paired_rows.side = 'rollback' and paired_rows.depth = 0
                then 'nothing_to_roll_back'
            when paired_rows.side = 'cancel' and parts.remaining_count = 0
                then 'nothing_to_cancel'
        end as mismatch_reason
    from paired_rows
    inner join parts
        on
            paired_rows.game_id = parts.game_id
            and paired_rows.bet_id = parts.bet_id
            and paired_rows.part_number = parts.part_number
)

select * from final
