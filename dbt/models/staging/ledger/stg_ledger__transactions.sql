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
        date as partition_day
    from {{ source('ledger', 'game_transactions') }}
),

currency_aliases as (
    select
        alias,
        currency
    from {{ ref('currency_aliases') }}
),

parsed as (
    select
        game_transactions.partition_day,
        {{ parsed_date('game_transactions.partition_day') }} as bet_date,
        nullif({{ trimmed('game_transactions.betid') }}, '') as bet_id,
        nullif({{ trimmed('game_transactions.playerid') }}, '') as player_id,
        nullif({{ trimmed('game_transactions.gameid') }}, '') as game_id,
        nullif({{ trimmed('game_transactions.channeluid') }}, '') as channel_id,
        upper({{ trimmed('game_transactions.txtype') }}) as transaction_type,
        {{ to_currency_code(
            'game_transactions.txcurrency', 'currency_aliases.currency'
        ) }} as currency,
        {{ parsed_amount(
            "coalesce(nullif("
            ~ trimmed('game_transactions.realamount') ~ ", ''), '0')"
        ) }} as cash_amount,
        {{ parsed_amount(
            "coalesce(nullif("
            ~ trimmed('game_transactions.bonusamount') ~ ", ''), '0')"
        ) }} as bonus_amount
    from game_transactions
    left join currency_aliases
        on upper({{ trimmed('game_transactions.txcurrency') }}) = currency_aliases.alias
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
        currency,
        cash_amount,
        bonus_amount,
        coalesce(
            bet_date is not null
            and bet_id is not null
            and player_id is not null
            and game_id is not null
            and transaction_type in ('WAGER', 'RESULT')
            and cash_amount is not null
            and bonus_amount is not null,
            false
        ) as is_valid
    from parsed
)

select * from final
