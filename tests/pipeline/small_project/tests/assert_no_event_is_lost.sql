select event_id from {{ ref('stg_events') }}
except
select event_id from {{ ref('int_events') }}
