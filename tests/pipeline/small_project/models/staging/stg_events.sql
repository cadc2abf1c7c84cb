select event_id, event_type from {{ source('lake', 'events') }}
