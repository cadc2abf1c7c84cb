select e.event_id, e.event_type from {{ ref('stg_events') }} as e join {{ ref('event_types') }} as t using (event_type)
