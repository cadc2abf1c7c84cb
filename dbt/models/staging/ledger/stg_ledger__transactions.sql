{%- set row_columns = [
    'realamount', 'bonusamount', 'channeluid', 'txcurrency', 'gameid', 'txtype',
    'betid', 'playerid'
] -%}

with game_transactions as (
    select
        realamount,
        bonusamount,
        channeluid,
        txcurrency,
        gameid,
        txtype,
        betid,
        playerid,
        file_name,
        line_number,
        problem,
        raw_row,
        date as partition_day
    from {{ source('ledger', 'game_transactions') }}
),

currency_aliases as (
    select
        alias,
        currency
    from {{ ref('currency_aliases') }}
),

transaction_types as (
    select
        transaction_type,
        side,
        sign
    from {{ ref('transaction_types') }}
),

parsed as (
    select
        game_transactions.partition_day,
        {{ parsed_date('game_transactions.partition_day') }} as bet_date,
        {{ known_text('game_transactions.betid') }} as bet_id,
        {{ known_id(known_text('game_transactions.playerid')) }} as player_id,
        {{ known_text('game_transactions.gameid') }} as game_id,
        {{ known_text('game_transactions.channeluid') }} as channel_id,
        upper({{ known_text('game_transactions.txtype') }})
            as transaction_type,
        transaction_types.side,
        transaction_types.sign,
        {{ to_currency_code(
            known_text('game_transactions.txcurrency'), 'currency_aliases.currency'
        ) }} as currency,
        {{ parsed_amount(
            "coalesce(" ~ known_text('game_transactions.realamount') ~ ", '0')"
        ) }} as cash_amount,
        {{ parsed_amount(
            "coalesce(" ~ known_text('game_transactions.bonusamount') ~ ", '0')"
        ) }} as bonus_amount,
        {{ is_ambiguous_amount('game_transactions.realamount') }}
        or {{ is_ambiguous_amount('game_transactions.bonusamount') }}
            as has_ambiguous_amount,
        game_transactions.file_name as source_file,
        game_transactions.line_number,
        game_transactions.problem,
        {% for column in row_columns -%}
            game_transactions.{{ column }},
        {% endfor -%}
        game_transactions.raw_row
    from game_transactions
    left join currency_aliases
        on upper({{ trimmed('game_transactions.txcurrency') }}) = currency_aliases.alias
    left join transaction_types
        on
            upper({{ trimmed('game_transactions.txtype') }})
            = transaction_types.transaction_type
),

checked as (
    select
        *,
        case
            when problem is not null then problem
            when bet_date is null then 'partition_is_no_day'
            when bet_id is null then 'missing_bet_id'
            when player_id is null then 'missing_player_id'
            when game_id is null then 'missing_game_id'
            when transaction_type is null then 'missing_transaction_type'
            when side is null then 'unknown_transaction_type'
            when has_ambiguous_amount then 'ambiguous_amount'
            when cash_amount is null or bonus_amount is null
                then 'amount_not_readable'
        end as mismatch_reason
    from parsed
),

final as (
    select
        partition_day,
        bet_date,
        bet_id,
        player_id,
        game_id,
        channel_id,
        transaction_type,
        side,
        sign,
        currency,
        cash_amount,
        bonus_amount,
        source_file,
        line_number,
        {# The text takes as long as the rest of the row, and few rows need it. #}
        case
            when mismatch_reason is not null or side in ('rollback', 'cancel')
                then coalesce(
                    {{ masked_text('raw_row') }},
                    {{ json_row(
                        'checked', row_columns, personal=['channeluid', 'playerid']
                    ) }}
                )
        end as payload,
        mismatch_reason,
        mismatch_reason is null as is_valid
    from checked
)

select * from final
