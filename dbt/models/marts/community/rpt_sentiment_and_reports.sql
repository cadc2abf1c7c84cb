with events as (
    select
        application_id,
        event_date,
        event_type,
        player_id,
        reason,
        measured_value
    from {{ ref('int_gameplay_events') }}
    where
        event_type in ('user_report', 'user_sentiment')
        and {{ filter_changed_keys() }}
),

feedback as (
    select
        application_id,
        event_date,
        player_id,
        case when event_type = 'user_report' then 'report' else 'sentiment' end
            as feedback_type,
        case
            when event_type = 'user_report' then coalesce(reason, 'Unknown')
            else 'Not applicable'
        end as reason,
        {# Half a star is no rating of this scale. -#}
        case
            when
                event_type = 'user_sentiment'
                and measured_value between 1 and 5
                and floor(measured_value) = measured_value
                then cast(measured_value as integer)
        end as rating
    from events
),

summed as (
    select
        application_id,
        event_date,
        feedback_type,
        reason,
        sum(case when feedback_type = 'report' then 1 else 0 end) as report_count,
        count(distinct case when feedback_type = 'report' then player_id end)
            as reporting_players,
        sum(case when feedback_type = 'sentiment' then 1 else 0 end)
            as sentiment_count,
        count(rating) as rating_count,
        {% for rating in range(1, 6) -%}
            sum(case when rating = {{ rating }} then 1 else 0 end)
                as rating_{{ rating }}_count,
        {% endfor -%}
        sum(rating) as rating_sum,
        count(distinct case when rating is not null then player_id end)
            as rating_players
    from feedback
    group by 1, 2, 3, 4
),

final as (
    select
        application_id,
        event_date,
        feedback_type,
        reason,
        cast(report_count as bigint) as report_count,
        cast(reporting_players as bigint) as reporting_players,
        cast(rating_count as bigint) as rating_count,
        {% for rating in range(1, 6) -%}
            cast(rating_{{ rating }}_count as bigint) as rating_{{ rating }}_count,
        {% endfor -%}
        cast(sentiment_count - rating_count as bigint) as invalid_rating_count,
        {{ ratio('rating_sum', 'rating_count') }} as mean_rating,
        cast(rating_players as bigint) as rating_players
    from summed
)

select * from final
