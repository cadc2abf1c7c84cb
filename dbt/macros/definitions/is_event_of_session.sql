{#
    The id of a session that was cut at midnight has a colon and the date appended. No
    other id has this form, so an event is in one session at most.
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
                    {{ explicit_session_id(events ~ '.session_id') }},
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
