with campaign_spend as (
    select
        spend_date,
        acquisition_channel,
        amount,
        missing_rate_count
    from {{ ref('int_campaign_spend') }}
),

final as (
    select
        spend_date,
        acquisition_channel,
        {{ rounded_money('sum(amount)') }} as amount,
        cast(sum(missing_rate_count) as bigint) as missing_rate_count
    from campaign_spend
    group by 1, 2
)

select * from final
