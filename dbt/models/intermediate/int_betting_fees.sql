with fees as (
    select
        fee,
        applies_to,
        base,
        rate,
        valid_from
    from {{ ref('betting_fees') }}
),

final as (
    select
        fee,
        applies_to,
        base,
        rate,
        valid_from,
        coalesce(
            lead(valid_from) over (
                partition by fee, applies_to
                order by valid_from
            ) - 1,
            date '9999-12-31'
        ) as valid_to
    from fees
)

select * from final
