{#
    A week's row reads the 28 days before its Monday for the features, and the 7 days
    from it on for the label. So the key of its change is the last of these days: a day
    changes the rows of the weeks that end on it or in the 34 days after it.
#}
{%- set read_days = changed_days(before=34) -%}

with application_days as (
    select
        application_id,
        activity_date
    from {{ ref('int_application_days') }}
),

activity_days as (
    select
        application_id,
        player_id,
        activity_date,
        is_active,
        session_count,
        playtime_seconds
    from {{ ref('int_day_end_activity') }}
    where {{ filter_days('activity_date', read_days) }}
),

purchases as (
    select
        application_id,
        event_id,
        player_id,
        purchase_date,
        original_amount,
        revenue
    from {{ ref('int_purchases') }}
    where
        player_id is not null
        and {{ filter_days('purchase_date', read_days) }}
),

purchase_events as (
    select
        application_id,
        event_id,
        event_date
    from {{ ref('int_money_events') }}
    where
        not coalesce(is_player_of_next_day, false)
        and {{ filter_days('event_date', read_days) }}
),

later_days as (
    select
        application_id,
        player_id,
        activity_date
    from {{ ref('fct_player_days') }}
    where
        is_active
        and {{ filter_days('activity_date', read_days) }}
),

{#
    The first active day is over all days, and still hides no future: a player with an
    active day before the Monday has the first one before it as well.
#}
players as (
    select
        application_id,
        player_id,
        first_seen_date
    from {{ ref('dim_players') }}
),

as_of_days as (
    select
        application_id,
        max(activity_date) as last_date
    from application_days
    group by 1
),

{# The day before a Monday has ended, and 2024-01-07 was such a day. #}
weeks as (
    select
        application_days.application_id,
        application_days.activity_date + 1 as as_of_date,
        application_days.activity_date + 7 as label_end_date,
        application_days.activity_date + 7 <= as_of_days.last_date as is_label_known
    from application_days
    inner join as_of_days
        on application_days.application_id = as_of_days.application_id
    where
        mod(application_days.activity_date - date '2024-01-07', 7) = 0
        and {{ filter_changed_keys(['application_days.activity_date + 7']) }}
),

days as (
    select
        application_id,
        player_id,
        activity_date,
        case when is_active then activity_date end as active_date,
        case when is_active then 1 else 0 end as active_days,
        session_count,
        playtime_seconds,
        0 as purchase_count,
        0 as iap_revenue
    from activity_days
    union all
    select
        purchases.application_id,
        purchases.player_id,
        purchases.purchase_date as activity_date,
        cast(null as date) as active_date,
        0 as active_days,
        0 as session_count,
        0 as playtime_seconds,
        case when purchases.original_amount > 0 then 1 else 0 end as purchase_count,
        coalesce(purchases.revenue, 0) as iap_revenue
    from purchases
    inner join purchase_events
        on
            purchases.application_id = purchase_events.application_id
            and purchases.event_id = purchase_events.event_id
            and purchases.purchase_date = purchase_events.event_date
),

week_sums as (
    select
        weeks.application_id,
        days.player_id,
        weeks.as_of_date,
        weeks.label_end_date,
        weeks.is_label_known,
        {% for column in [
            'active_days', 'session_count', 'playtime_seconds', 'purchase_count',
            'iap_revenue'
        ] -%}
            sum(
                case
                    when weeks.as_of_date - days.activity_date <= 7
                        then days.{{ column }}
                    else 0
                end
            ) as {{ column }}_7,
            sum(days.{{ column }}) as {{ column }}_28,
        {% endfor -%}
        max(days.active_date) as last_active_date
    from weeks
    inner join days
        on
            weeks.application_id = days.application_id
            and days.activity_date < weeks.as_of_date
            and days.activity_date >= weeks.as_of_date - 28
    group by 1, 2, 3, 4, 5
    having count(days.active_date) > 0
),

active_weeks as (
    select distinct
        weeks.application_id,
        weeks.as_of_date,
        later_days.player_id
    from weeks
    inner join later_days
        on
            weeks.application_id = later_days.application_id
            and later_days.activity_date >= weeks.as_of_date
            and later_days.activity_date <= weeks.label_end_date
),

typed as (
    select
        week_sums.application_id,
        week_sums.player_id,
        week_sums.as_of_date,
        cast(week_sums.as_of_date - players.first_seen_date as integer)
            as days_since_install,
        cast(week_sums.as_of_date - week_sums.last_active_date as integer)
            as days_since_last_active,
        {% for column in [
            'active_days', 'session_count', 'playtime_seconds', 'purchase_count'
        ] -%}
            cast(week_sums.{{ column }}_7 as bigint) as {{ column }}_7,
            cast(week_sums.{{ column }}_28 as bigint) as {{ column }}_28,
        {% endfor -%}
        cast(week_sums.iap_revenue_7 as decimal(18, 4)) as iap_revenue_7,
        cast(week_sums.iap_revenue_28 as decimal(18, 4)) as iap_revenue_28,
        week_sums.label_end_date,
        case
            when week_sums.is_label_known then active_weeks.player_id is null
        end as is_churned
    from week_sums
    inner join players
        on
            week_sums.application_id = players.application_id
            and week_sums.player_id = players.player_id
    left join active_weeks
        on
            week_sums.application_id = active_weeks.application_id
            and week_sums.player_id = active_weeks.player_id
            and week_sums.as_of_date = active_weeks.as_of_date
),

final as (
    select
        application_id,
        player_id,
        as_of_date,
        days_since_install,
        days_since_last_active,
        active_days_7,
        active_days_28,
        {{ ratio('4 * active_days_7', 'active_days_28') }} as active_days_trend,
        session_count_7,
        session_count_28,
        playtime_seconds_7,
        playtime_seconds_28,
        {{ ratio('4 * playtime_seconds_7', 'playtime_seconds_28') }} as playtime_trend,
        purchase_count_7,
        purchase_count_28,
        iap_revenue_7,
        iap_revenue_28,
        label_end_date,
        is_churned
    from typed
)

select * from final
