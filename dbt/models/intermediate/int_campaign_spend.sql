with spend as (
    select
        spend_date,
        acquisition_channel,
        coalesce(campaign_id, 'Unknown') as campaign_id,
        currency,
        amount
    from {{ ref('stg_marketing__spend') }}
    where spend_date is not null and amount is not null
),

exchange_rates as (
    select
        rate_date,
        currency,
        rate
    from {{ ref('int_exchange_rates') }}
),

converted as (
    select
        spend.spend_date,
        spend.acquisition_channel,
        spend.campaign_id,
        {{ to_reporting_currency(
            'spend.amount', 'spend.currency', 'exchange_rates.rate'
        ) }} as converted_amount
    from spend
    left join exchange_rates
        on
            spend.currency = exchange_rates.currency
            and spend.spend_date = exchange_rates.rate_date
),

final as (
    select
        spend_date,
        acquisition_channel,
        campaign_id,
        cast(sum(converted_amount) as decimal(38, 20)) as amount,
        cast(
            sum(case when converted_amount is null then 1 else 0 end) as bigint
        ) as missing_rate_count
    from converted
    group by 1, 2, 3
)

select * from final
