{#
    fct_sessions appends a colon to an explicit id that looks like an id of its own, and
    a colon and the date to the id of a session that it cuts at midnight. No other id
    has one of these forms, so an event is in one session at most.
#}
{% macro is_event_of_session(events, sessions) -%}
    (
        {{ events }}.application_id = {{ sessions }}.application_id
        and {{ events }}.player_id = {{ sessions }}.player_id
        and {{ events }}.event_at
        between {{ sessions }}.started_at and {{ sessions }}.ended_at
        and (
            (
                {{ sessions }}.is_explicit
                and {{ sessions }}.session_id in (
                    {{ events }}.session_id,
                    {{ events }}.session_id || ':',
                    {{ events }}.session_id || ':'
                    || cast({{ sessions }}.session_date as varchar(10))
                )
            )
            or (
                not {{ sessions }}.is_explicit
                and {{ events }}.session_id is null
            )
        )
    )
{%- endmacro %}
