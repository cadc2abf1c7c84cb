with results as (
    select
        bet_month,
        player_id,
        bet_count,
        turnover,
        ggr,
        ngr,
        provider_fee,
        payment_fee,
        tax,
        full_ngr
    from {{ ref('int_betting_results') }}
    where
        {{ filter_days('bet_month', changed_days()) }}
        and {{ filter_changed_keys() }}
),

final as (
    select
        bet_month,
        player_id,
        {% for amount in [
            'turnover', 'ggr', 'ngr', 'provider_fee', 'payment_fee', 'tax', 'full_ngr'
        ] -%}
            cast({{ sum_if_all_known(amount) }} as decimal(18, 4))
                as {{ amount }},
        {% endfor -%}
        cast(sum(bet_count) as bigint) as bet_count
    from results
    group by 1, 2
)

select * from final
