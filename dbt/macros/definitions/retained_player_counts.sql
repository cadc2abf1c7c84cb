{% macro retained_player_counts() -%}
    count(*) as cohort_size,
        sum(
            case day_numbers.day_n
                {% for day_n in retention_days() -%}
                    when {{ day_n }}
                        then
                            case when players.is_active_on_{{ day_n }} then 1 else 0 end
                {% endfor %}
            end
        ) as classic_players,
        sum(case when players.last_active_age >= day_numbers.day_n then 1 else 0 end)
            as rolling_players,
        sum(case when players.first_return_age <= day_numbers.day_n then 1 else 0 end)
            as return_players,
        sum(case when players.days_in_a_row >= day_numbers.day_n then 1 else 0 end)
            as full_players
{%- endmacro %}
