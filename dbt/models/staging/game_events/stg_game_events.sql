{%- set event_keys = [
    'user_id', 'player_id', 'session_id', 'device_id', 'platform', 'country_id',
    'acquisition_channel', 'campaign_id', 'currency_amount', 'amount',
    'transaction_id', 'item_id', 'currency_type'
] -%}
{#- A JSON number in one of these keys is the text of its integer. -#}
{%- set id_keys = [
    'user_id', 'player_id', 'session_id', 'device_id', 'transaction_id'
] -%}
{#- A JSON object or array in one of these keys names nothing. -#}
{%- set name_keys = [
    'platform', 'country_id', 'acquisition_channel', 'campaign_id', 'item_id',
    'currency_type'
] -%}
{%- set money_types = ['iap_transaction', 'iap_refund', 'ad_impression'] -%}
{#- Only events of these types have columns of these keys. -#}
{%- set money_keys = {
    'transaction_id': money_types,
    'item_id': money_types + ['item_viewed'],
    'currency_type': money_types
} -%}
{#- Keys that are read only in events of these types. -#}
{%- set level_types = ['level_started', 'level_completed', 'level_failed'] -%}
{%- set match_types = [
    'matchmaking_start', 'matchmaking_complete', 'matchmaking_failed', 'match_start',
    'match_end'
] -%}
{%- set detail_names = {
    'level_id': level_types,
    'level_version': level_types,
    'tutorial_screen_id': ['tutorial_progression'],
    'match_id': match_types,
    'match_type': match_types,
    'map_id': match_types,
    'match_result_type': ['match_end'],
    'matching_failed_msg': ['matchmaking_failed'],
    'failure_reason': ['matchmaking_failed'],
    'report_reason': ['user_report'],
    'reason': ['currency_flow'],
    'currency': ['currency_flow'],
    'direction': ['currency_flow'],
    'experiment_id': ['experiment_exposure'],
    'variant': ['experiment_exposure'],
    'placement': ['ad_impression']
} -%}
{%- set detail_numbers = {
    'user_rating': ['user_sentiment'],
    'latency': ['client_latency'],
    'balance': ['currency_flow']
} -%}
{%- set detail_flags = {'is_fatal': ['client_error']} -%}
{%- set detail_keys = (
    detail_names.keys() | list + detail_numbers.keys() | list
    + detail_flags.keys() | list
) -%}
{%- set detail_types = (
    detail_names.values() | sum(start=[]) + detail_numbers.values() | sum(start=[])
    + detail_flags.values() | sum(start=[])
) | unique | list -%}
{%- set metadata_keys = [
    'processing_result', 'raw_event_timestamp', 'processing_timestamp'
] -%}

{# DuckDB computes file by file, so it collects the rows of small files first. #}
with raw_events as {{ collected() }}(
    select
        event_id,
        nullif({{ trimmed_column('event_type') }}, '') as event_type,
        event_name,
        event_version,
        event_timestamp,
        app_version,
        application_id,
        year,
        month,
        day,
        {{ without_zero_characters('event_data') }} as event_data_text,
        {{ without_zero_characters('metadata') }} as metadata_text
    from {{ source('game_events', 'raw_events') }}
    where {{ filter_event_partitions() }}
),

events_with_flags as (
    select
        *,
        {{ is_plain_json(
            'event_data_text', event_keys, amounts=['currency_amount', 'amount']
        ) }} as is_plain_event_data,
        {{ is_plain_json('metadata_text', metadata_keys) }} as is_plain_metadata,
        {{ is_any_of('event_type', money_types) }} as is_about_money,
        {{ is_any_of('event_type', detail_types) }} as has_details
    from raw_events
),

events_with_json as (
    select
        *,
        {{ json_object('event_data_text', 'is_plain_event_data') }} as event_data,
        {{ json_object('metadata_text', 'is_plain_metadata') }} as metadata
    from events_with_flags
),

events_with_texts as (
    select
        *,
        {{ json_texts('event_data', event_keys, 'is_plain_event_data') }}
            as event_texts,
        {{ json_texts('metadata', metadata_keys, 'is_plain_metadata') }}
            as metadata_texts,
        case
            when has_details
                then {{ is_plain_json('event_data', detail_keys) }}
            else false
        end as is_plain_details
    from events_with_json
),

events_with_details as (
    select
        *,
        case
            when has_details
                then {{ json_texts('event_data', detail_keys, 'is_plain_details') }}
        end as detail_texts
    from events_with_texts
),

events_with_values as (
    select
        {% for key in id_keys -%}
            {{ number_of('event_texts', event_keys, key, 'is_plain_event_data') }}
                as {{ key }}_number,
        {% endfor -%}
        {% for key in id_keys + name_keys -%}
            {{ text_of('event_texts', event_keys, key, 'is_plain_event_data') }}
                as {{ key }}_text,
        {% endfor -%}
        {% for key, types in detail_names.items() -%}
            case
                when {{ is_any_of('event_type', types) }}
                    then {{ number_of(
                        'detail_texts', detail_keys, key, 'is_plain_details'
                    ) }}
            end as {{ key }}_number,
        {% endfor -%}
        {% for key, types in (
            detail_names.items() | list + detail_numbers.items() | list
            + detail_flags.items() | list
        ) -%}
            case
                when {{ is_any_of('event_type', types) }}
                    then {{ text_of(
                        'detail_texts', detail_keys, key, 'is_plain_details'
                    ) }}
            end as {{ key }}_text,
        {% endfor -%}
        *
    from events_with_details
),

events_with_names as (
    select
        {% for key in id_keys -%}
            {{ name_in_json(key ~ '_text', key ~ '_number', 'is_plain_event_data') }}
                as {{ key }}_name,
        {% endfor -%}
        {% for key in name_keys -%}
            {{ name_in_json(key ~ '_text', none, 'is_plain_event_data') }}
                as {{ key }}_name,
        {% endfor -%}
        {% for key in detail_names -%}
            nullif({{ trimmed(
                name_in_json(key ~ '_text', key ~ '_number', 'is_plain_details')
            ) }}, '') as {{ key }}_name,
        {% endfor -%}
        *
    from events_with_values
),

events_with_keys as (
    select
        year,
        month,
        day,
        event_type,
        event_timestamp,
        event_data,
        event_data_text,
        {{ is_json_too_long('event_data_text', 'event_data') }}
        or {{ is_json_too_long('metadata_text', 'metadata') }} as has_long_json,
        nullif({{ trimmed_column('event_name') }}, '') as event_name,
        nullif({{ trimmed_column('event_version') }}, '') as event_version,
        nullif({{ trimmed_column('app_version') }}, '') as app_version,
        nullif({{ trimmed_column('event_id') }}, '') as event_id,
        nullif({{ trimmed_column('application_id') }}, '') as application_id,
        {{ parsed_date("year || '-' || month || '-' || day") }} as partition_date,
        {{ json_text(
            text_of('metadata_texts', metadata_keys, 'processing_result'), 'status'
        ) }} as processing_status,
        {{ text_of(
            'metadata_texts', metadata_keys, 'raw_event_timestamp', 'is_plain_metadata'
        ) }} as raw_event_timestamp,
        {{ text_of(
            'metadata_texts', metadata_keys, 'processing_timestamp', 'is_plain_metadata'
        ) }} as processing_timestamp,
        coalesce(
            {{ known_id('user_id_name') }}, {{ known_id('player_id_name') }}
        ) as player_id,
        {{ known_id('session_id_name') }} as session_id,
        {{ known_id('device_id_name') }} as device_id,
        platform_name as platform,
        country_id_name as country_id,
        acquisition_channel_name as acquisition_channel,
        campaign_id_name as campaign_id,
        {% for key, types in money_keys.items() -%}
            case
                when {{ is_any_of('event_type', types) }}
                    then {{ known_id(key ~ '_name') if key in id_keys
                        else key ~ '_name' }}
            end as {{ key }},
        {% endfor -%}
        case
            when is_about_money
                then {{ text_of('event_texts', event_keys, 'currency_amount') }}
            when event_type = 'currency_flow'
                then {{ text_of('event_texts', event_keys, 'amount') }}
        end as amount_text,
        level_id_name as level_id,
        level_version_name as level_version,
        tutorial_screen_id_name as tutorial_screen_id,
        {{ known_id('match_id_name') }} as match_id,
        match_type_name as match_type,
        map_id_name as map_id,
        match_result_type_name as match_result,
        coalesce(
            matching_failed_msg_name,
            failure_reason_name,
            report_reason_name,
            reason_name
        ) as reason,
        currency_name as game_currency,
        direction_name as direction,
        experiment_id_name as experiment_id,
        variant_name as variant,
        placement_name as placement,
        coalesce(user_rating_text, latency_text, balance_text) as measured_text,
        case
            when lower({{ trimmed('is_fatal_text') }}) in ('true', 't', '1', 'yes')
                then true
            when lower({{ trimmed('is_fatal_text') }}) in ('false', 'f', '0', 'no')
                then false
        end as is_fatal
    from events_with_names
),

events_with_time as (
    select
        *,
        case
            when event_timestamp between 1 and 253402300799
                then {{ epoch_to_timestamp('event_timestamp') }}
        end as event_at,
        cast({{ parsed_amount('processing_timestamp', precision=18) }} as bigint)
            as arrival_timestamp,
        {# From 10^13 on, no mart could hold the amount. -#}
        cast({{ parsed_amount('amount_text', precision=21) }} as decimal(24, 8))
            as amount,
        cast({{ parsed_amount('measured_text', precision=21) }} as decimal(24, 8))
            as measured_value
    from events_with_keys
),

checked_events as (
    select
        *,
        cast(event_at as date) as event_date,
        case
            when processing_status = 'schema_mismatch' then 'producer_schema_mismatch'
            when event_id is null then 'missing_event_id'
            when event_type is null then 'missing_event_type'
            when application_id is null then 'missing_application_id'
            when
                event_timestamp is null
                and coalesce(raw_event_timestamp, 'null') = 'null'
                then 'missing_timestamp'
            when event_timestamp is null then 'timestamp_not_numeric'
            when event_timestamp <= 0 then 'timestamp_not_positive'
            when event_at is null or event_timestamp > arrival_timestamp + 86400
                then 'timestamp_in_future'
            when cast(event_at as date) < {{ earliest_event_date() }}
                then 'timestamp_too_old'
            when cast(event_at as date) <> partition_date then 'wrong_partition'
            when has_long_json or {{ is_any_name_too_long([
                'event_id', 'event_type', 'event_name', 'event_version', 'app_version',
                'application_id', 'player_id', 'device_id', 'platform', 'country_id',
                'acquisition_channel', 'campaign_id', 'level_id', 'level_version',
                'tutorial_screen_id', 'match_id', 'match_type', 'map_id',
                'match_result', 'reason', 'game_currency', 'direction',
                'experiment_id', 'variant', 'placement'
            ] + money_keys.keys() | list) }}
                then 'text_too_long'
            {#
                fct_sessions appends a colon and a date to the id of a session that it
                cuts.
            #}
            when {{ is_any_name_too_long(['session_id'], appended=11) }}
                then 'text_too_long'
            when amount_text is not null and amount is null then 'amount_not_valid'
        end as mismatch_reason
    from events_with_time
),

final as (
    select
        partition_date,
        application_id,
        event_id,
        event_type,
        event_name,
        event_version,
        event_timestamp,
        event_at,
        event_date,
        app_version,
        player_id,
        session_id,
        device_id,
        platform,
        country_id,
        acquisition_channel,
        campaign_id,
        amount,
        transaction_id,
        item_id,
        currency_type,
        level_id,
        level_version,
        tutorial_screen_id,
        match_id,
        match_type,
        map_id,
        match_result,
        reason,
        measured_value,
        game_currency,
        direction,
        experiment_id,
        variant,
        placement,
        is_fatal,
        arrival_timestamp,
        mismatch_reason is null as is_valid,
        mismatch_reason,
        event_data,
        case
            when mismatch_reason is null then null
            when not coalesce(has_long_json, false) then event_data
            when left(event_data_text, 1) = '{' then event_data_text
        end as payload
    from checked_events
)

select * from final
