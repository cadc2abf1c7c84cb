{% snapshot events_history %}
{{ config(schema='snapshots', unique_key='event_id', strategy='check', check_cols='all') }}
select event_id, event_type from {{ ref('int_events') }}
{% endsnapshot %}
