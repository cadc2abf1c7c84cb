-- Sixteen marts in one hand-written script for DuckDB. The benchmarks compare the seconds of `dbt build` with it.
-- The script follows the definitions of the marts and not the SQL of the models, so it also checks their rows.
-- It reads the views of schema `spectrum` and the variables `seeds` (a folder) and `reporting_currency`.
create schema if not exists marts;

-- Small helpers ------------------------------------------------------------------------------------

create or replace temp macro text_or_null(value) as nullif(trim(value), '');

create or replace temp macro number_or_null(value) as
    try_cast(replace(trim(value), ',', '.') as decimal(24, 8));

create or replace temp macro day_or_null(value) as coalesce(
    try_cast(left(trim(value), 10) as date),
    date '1899-12-30' + try_cast(value as integer)
);

create or replace temp macro flag(value) as
    coalesce(lower(trim(value)) in ('1', 'true', 't', 'y', 'yes'), false);

create or replace temp macro ratio(part, whole) as
    cast(part as double) / nullif(cast(whole as double), 0);

-- DuckDB divides decimals as doubles, which would round some ties the wrong way. Whole numbers are exact.
create or replace temp macro whole(value) as cast(cast(value as decimal(28, 8)) * 100000000 as hugeint);
create or replace temp macro exact_quotient(part, total, unit) as
    sign(whole(part)) * sign(whole(total))
    * ((2 * abs(whole(part)) * unit + abs(whole(total))) // nullif(2 * abs(whole(total)), 0));
create or replace temp macro money_per(part, total) as
    cast(cast(exact_quotient(part, total, 10000) as decimal(28, 0)) * 0.0001 as decimal(18, 4));

create or replace temp table event_types as
select event_type, counts_as_activity
from read_csv(getvariable('seeds') || '/event_types.csv');

set variable aliases = (
    select map(list(alias), list(currency))
    from read_csv(getvariable('seeds') || '/currency_aliases.csv')
);

create or replace temp macro currency_code(code) as coalesce(
    getvariable('aliases')[upper(trim(code))],
    upper(text_or_null(code)),
    getvariable('reporting_currency')
);

-- Exchange rates -----------------------------------------------------------------------------------

-- Euro per unit of a currency: for each day the latest rate that is at most seven days old.
create or replace temp table euro_rates as
with given as (
    select
        day_or_null(date) as rate_date,
        currency_code(currency) as currency,
        max(number_or_null(baserateeuro)) as euro_rate
    from spectrum.currency_exchange
    where
        text_or_null(currency) is not null
        and number_or_null(baserateeuro) between 0.000001 and 9999
    group by all
),

ages as (
    select cast(unnest(range(8)) as integer) as age
)

select
    rate_date + age as rate_date,
    currency,
    arg_min(euro_rate, age) as euro_rate
from given, ages
where currency <> 'EUR'
group by all
union all
select distinct
    rate_date + age,
    'EUR',
    1.0
from given, ages;

create or replace temp table rates as
select
    own.rate_date,
    own.currency,
    -- Rates of the sample have 8 decimals at most and lie between 0.001 and 100,000.
    if(
        own.euro_rate >= 10 * reporting.euro_rate,
        cast(exact_quotient(own.euro_rate, reporting.euro_rate, 100000000) as decimal(17, 0))
        * cast(0.00000001 as decimal(9, 8)),
        cast(
            exact_quotient(own.euro_rate, reporting.euro_rate, 1000000000000)
            as decimal(17, 0)
        ) * cast(0.000000000001 as decimal(13, 12))
    ) as rate
from euro_rates as own
inner join euro_rates as reporting using (rate_date)
where
    reporting.currency = getvariable('reporting_currency')
    and own.currency <> getvariable('reporting_currency');

-- Events -------------------------------------------------------------------------------------------

create or replace temp table staged as
with read as (
    select
        text_or_null(event_id) as event_id,
        text_or_null(event_type) as event_type,
        text_or_null(application_id) as application_id,
        event_timestamp,
        text_or_null(app_version) as app_version,
        try_cast(year || '-' || month || '-' || day as date) as partition_date,
        case
            when not json_valid(event_data) then null
            when starts_with(ltrim(event_data), '"') then event_data ->> '$'
            else event_data
        end as payload,
        -- One call reads each text once, however many keys it extracts.
        json_extract_string(
            metadata,
            ['$.processing_timestamp', '$.processing_result.status', '$.raw_event_timestamp']
        ) as about
    from spectrum.raw_events
),

parsed as (
    select
        *,
        try_cast(about[1] as bigint) as arrival,
        case when json_valid(payload) then json_extract_string(
            payload,
            [
                '$.user_id', '$.player_id', '$.session_id', '$.platform', '$.country_id',
                '$.acquisition_channel', '$.campaign_id', '$.currency_amount', '$.amount',
                '$.currency_type', '$.transaction_id', '$.item_id'
            ]
        ) end as keys,
        case
            when event_timestamp between 1 and 253402300799
                then make_timestamp(event_timestamp * 1000000)
        end as event_at
    from read
),

named as (
    select
        * exclude (keys, about),
        about[2] as processing_status,
        about[3] as raw_timestamp,
        cast(event_at as date) as event_date,
        coalesce(nullif(keys[1], ''), nullif(keys[2], '')) as player_id,
        nullif(keys[3], '') as session_id,
        nullif(keys[4], '') as platform,
        nullif(keys[5], '') as country_id,
        nullif(keys[6], '') as acquisition_channel,
        nullif(keys[7], '') as campaign_id,
        case
            when event_type in ('iap_transaction', 'iap_refund', 'ad_impression') then nullif(keys[8], '')
            when event_type = 'currency_flow' then nullif(keys[9], '')
        end as amount_text,
        nullif(keys[10], '') as currency_type,
        nullif(keys[11], '') as transaction_id,
        nullif(keys[12], '') as item_id
    from parsed
)

select
    *,
    number_or_null(amount_text) as amount,
    case
        when processing_status = 'schema_mismatch' then 'producer_schema_mismatch'
        when event_id is null then 'missing_event_id'
        when event_type is null then 'missing_event_type'
        when application_id is null then 'missing_application_id'
        when event_timestamp is null and coalesce(raw_timestamp, 'null') = 'null'
            then 'missing_timestamp'
        when event_timestamp is null then 'timestamp_not_numeric'
        when event_timestamp <= 0 then 'timestamp_not_positive'
        when event_at is null or event_timestamp > arrival + 86400 then 'timestamp_in_future'
        when event_date < date '2010-01-01' then 'timestamp_too_old'
        when event_date <> partition_date then 'wrong_partition'
        when amount_text is not null and number_or_null(amount_text) is null
            then 'amount_not_valid'
    end as reason
from named;

create or replace table marts.fct_quarantined_events as
select
    partition_date,
    application_id,
    event_id,
    event_type,
    event_timestamp,
    make_timestamp(arrival * 1000000) as arrived_at,
    reason,
    left(
        regexp_replace(
            payload,
            '"(user_id|player_id|device_id|session_id|advertising_id|email|name|ip|ip_address)"'
            || '\s*:\s*("([^"\\]|\\.)*"|[-+.0-9eE]+)',
            '"\1":"***"',
            'g'
        ),
        1000
    ) as payload
from staged
where reason is not null;

-- Only the few repeated events are sorted.
create or replace temp table unique_events as
with repeated as (
    select application_id, event_id, event_date
    from staged
    where reason is null
    group by all
    having count(*) > 1
)

select *
from staged
anti join repeated using (application_id, event_id, event_date)
where reason is null
union all by name
select staged.*
from staged
inner join repeated using (application_id, event_id, event_date)
where reason is null
qualify row_number() over (
    partition by application_id, event_id, event_date
    order by arrival, event_timestamp, md5(coalesce(payload, ''))
) = 1;

-- An event without a player takes the earliest player that its session has on the same or an adjacent day.
create or replace temp table events as
with session_days as (
    select
        application_id,
        session_id,
        event_date,
        min({'at': event_timestamp, 'id': event_id, 'player': player_id}) as first_known
    from unique_events
    where session_id is not null and player_id is not null
    group by all
),

without_player as (
    select distinct application_id, session_id, event_date
    from unique_events
    where session_id is not null and player_id is null
),

session_players as (
    select
        without_player.*,
        min(session_days.first_known).player as session_player
    from without_player
    inner join session_days
        on
            without_player.application_id = session_days.application_id
            and without_player.session_id = session_days.session_id
            and session_days.event_date
            between without_player.event_date - 1 and without_player.event_date + 1
    group by all
)

select
    unique_events.* replace (coalesce(player_id, session_player) as player_id),
    {'at': event_timestamp, 'id': event_id} as moment,
    event_types.event_type is not null as is_known_type,
    coalesce(event_types.counts_as_activity, true) as counts_as_activity
from unique_events
left join session_players using (application_id, session_id, event_date)
left join event_types using (event_type);

-- Sessions -----------------------------------------------------------------------------------------

create or replace table marts.fct_sessions as
with gap_starts as (
    select
        application_id,
        player_id,
        event_date,
        event_timestamp,
        event_timestamp - lag(event_timestamp) over (
            partition by application_id, player_id
            order by event_timestamp
        ) > 1800 is true as is_start
    from events
    where session_id is null and player_id is not null
),

chains as (
    select
        * exclude (is_start),
        count_if(is_start) over (
            partition by application_id, player_id
            order by event_timestamp
        ) as chain
    from gap_starts
),

pieces as (
    select
        application_id,
        player_id,
        session_id,
        null as chain,
        event_date,
        min(event_timestamp) as first,
        max(event_timestamp) as last,
        count(*) as event_count
    from events
    where session_id is not null and player_id is not null
    group by all
    union all
    select
        application_id,
        player_id,
        null,
        chain,
        event_date,
        min(event_timestamp),
        max(event_timestamp),
        count(*)
    from chains
    group by all
),

placed as (
    select
        *,
        lag(event_date, 1) over by_day = event_date - 1 as follows_a_day,
        lag(event_date, 2) over by_day = event_date - 2 as follows_two_days
    from pieces
    window by_day as (partition by application_id, player_id, session_id, chain order by event_date)
),

joined as (
    select
        application_id,
        player_id,
        session_id,
        chain,
        case
            when follows_a_day and follows_two_days is not true then event_date - 1
            else event_date
        end as session_date,
        bool_or(coalesce(follows_two_days, false)) as is_cut,
        min(first) as first,
        max(last) as last,
        sum(event_count) as event_count
    from placed
    group by all
),

named as (
    select
        * replace (
            case
                when session_id is null then 'gap:' || first
                when is_cut then session_id || ':' || session_date
                -- Such an id could be the id of another session.
                when regexp_matches(session_id, '^gap:|:(....-..-..)?$', 's') then session_id || ':'
                else session_id
            end as session_id
        ),
        session_id is not null as is_explicit
    from joined
)

select
    md5(
        concat(
            length(application_id), ':', application_id, length(player_id), ':', player_id,
            length(session_id), ':', session_id, '10:', session_date
        )
    ) as session_key,
    application_id,
    player_id,
    session_id,
    session_date,
    make_timestamp(first * 1000000) as started_at,
    make_timestamp(last * 1000000) as ended_at,
    last - first as duration_seconds,
    cast(event_count as bigint) as event_count,
    is_explicit
from named;

-- Money --------------------------------------------------------------------------------------------

create or replace temp table converted as
select
    events.application_id,
    events.player_id,
    events.event_id,
    events.event_type,
    events.event_date,
    events.event_at,
    events.moment,
    events.item_id,
    coalesce(events.transaction_id, events.event_id) as transaction_id,
    events.amount as original_amount,
    currency_code(events.currency_type) as original_currency,
    -- If both operands were decimal(18, 8), a product of 100 or more would overflow.
    cast(events.amount as decimal(21, 8)) * case
        when original_currency = getvariable('reporting_currency')
            then cast(1 as decimal(16, 8))
        else rates.rate
    end as converted_amount
from events
left join rates
    on
        events.event_date = rates.rate_date
        and currency_code(events.currency_type) = rates.currency
where events.event_type in ('iap_transaction', 'ad_impression');

create or replace table marts.fct_purchases as
with purchases as (
    select *
    from converted
    where event_type = 'iap_transaction' and original_amount is not null
    qualify row_number() over (
        partition by application_id, transaction_id
        order by moment
    ) = 1
),

refunds as (
    select
        application_id,
        transaction_id,
        min(event_at) as refunded_at
    from events
    where event_type = 'iap_refund' and transaction_id is not null
    group by all
),

firsts as (
    select
        application_id,
        player_id,
        min({'at': event_at, 'id': transaction_id}).id as transaction_id
    from purchases
    where original_amount > 0 and player_id is not null
    group by all
)

select
    purchases.application_id,
    purchases.transaction_id,
    purchases.player_id,
    purchases.event_at as purchased_at,
    purchases.event_date as purchase_date,
    purchases.item_id,
    purchases.original_amount,
    purchases.original_currency,
    cast(purchases.converted_amount as decimal(18, 4)) as revenue,
    -- Nothing of a purchase of 0.00 can be refunded.
    if(purchases.converted_amount = 0, null, refunds.refunded_at) as refunded_at,
    cast(if(purchases.converted_amount = 0, null, refunds.refunded_at) as date) as refund_date,
    -- Refunds of the sample have no amount, so each returns the whole purchase.
    cast(
        if(refunds.refunded_at is null, 0, purchases.converted_amount) as decimal(18, 4)
    ) as refunded_revenue,
    firsts.transaction_id is not null as is_first_purchase
from purchases
left join refunds using (application_id, transaction_id)
left join firsts using (application_id, player_id, transaction_id);

-- Players ------------------------------------------------------------------------------------------

create or replace temp table event_player_days as
select
    application_id,
    player_id,
    event_date as activity_date,
    count(*) as event_count,
    bool_or(counts_as_activity) as is_active,
    arg_min(platform, moment) filter (platform is not null) as platform,
    arg_min(country_id, moment) filter (country_id is not null) as country,
    arg_min(app_version, moment) filter (app_version is not null) as app_version,
    arg_min(acquisition_channel, moment) filter (acquisition_channel is not null)
        as acquisition_channel,
    arg_min(campaign_id, moment) filter (campaign_id is not null) as campaign_id
from events
where player_id is not null
group by all;

create or replace table marts.fct_player_days as
with sources as (
    select
        application_id,
        player_id,
        activity_date,
        is_active,
        event_count,
        0 as session_count,
        0 as playtime_seconds,
        false as is_payer,
        false as is_first_time_payer,
        0.0000 as iap_revenue,
        0.0000 as ad_revenue,
        0.0000 as refunds
    from event_player_days
    union all
    select
        application_id,
        player_id,
        session_date,
        false,
        0,
        count(*),
        sum(duration_seconds),
        false,
        false,
        0,
        0,
        0
    from marts.fct_sessions
    group by all
    union all
    select
        application_id,
        player_id,
        purchase_date,
        false,
        0,
        0,
        0,
        bool_or(original_amount > 0),
        bool_or(is_first_purchase),
        coalesce(sum(revenue), 0),
        0,
        0
    from marts.fct_purchases
    where player_id is not null
    group by all
    union all
    select
        application_id,
        player_id,
        event_date,
        false,
        0,
        0,
        0,
        false,
        false,
        0,
        cast(coalesce(sum(converted_amount), 0) as decimal(18, 4)),
        0
    from converted
    where event_type = 'ad_impression' and player_id is not null
    group by all
    union all
    select
        application_id,
        player_id,
        refund_date,
        false,
        0,
        0,
        0,
        false,
        false,
        0,
        0,
        coalesce(sum(revenue), 0)
    from marts.fct_purchases
    where player_id is not null and refund_date is not null
    group by all
)

select
    application_id,
    player_id,
    activity_date,
    bool_or(is_active) as is_active,
    cast(sum(event_count) as bigint) as event_count,
    cast(sum(session_count) as bigint) as session_count,
    cast(sum(playtime_seconds) as bigint) as playtime_seconds,
    bool_or(is_payer) as is_payer,
    bool_or(is_first_time_payer) as is_first_time_payer,
    cast(sum(iap_revenue) as decimal(18, 4)) as iap_revenue,
    cast(sum(ad_revenue) as decimal(18, 4)) as ad_revenue,
    cast(sum(refunds) as decimal(18, 4)) as refunds,
    cast(sum(iap_revenue) + sum(ad_revenue) - sum(refunds) as decimal(18, 4)) as revenue
from sources
group by all;

create or replace table marts.dim_players as
with firsts as (
    select
        application_id,
        player_id,
        arg_min(platform, activity_date) filter (platform is not null) as first_platform,
        arg_min(country, activity_date) filter (country is not null) as first_country_id,
        arg_min(app_version, activity_date) filter (app_version is not null)
            as first_app_version,
        arg_min(acquisition_channel, activity_date) filter (acquisition_channel is not null)
            as acquisition_channel,
        arg_min(campaign_id, activity_date) filter (campaign_id is not null) as campaign_id
    from event_player_days
    group by all
)

select
    days.application_id,
    days.player_id,
    min(days.activity_date) filter (days.is_active) as first_seen_date,
    max(days.activity_date) filter (days.is_active) as last_seen_date,
    any_value(firsts.first_platform) as first_platform,
    any_value(firsts.first_country_id) as first_country_id,
    any_value(firsts.first_app_version) as first_app_version,
    any_value(firsts.acquisition_channel) as acquisition_channel,
    any_value(firsts.campaign_id) as campaign_id,
    bool_or(days.is_payer) as is_payer,
    cast(sum(days.revenue) as decimal(18, 4)) as lifetime_revenue,
    cast(sum(days.session_count) as bigint) as lifetime_session_count
from marts.fct_player_days as days
left join firsts using (application_id, player_id)
group by all;

-- Daily KPIs ---------------------------------------------------------------------------------------

create or replace temp table applications as
select
    application_id,
    min(event_date) as first_date,
    max(event_date) filter (event_date < cast(make_timestamp(epoch_us(now())) as date))
        as as_of_date
from events
group by all
having first_date <= as_of_date;

-- One row per player-day and segment. The segment `all` is the whole game.
create or replace temp table segmented_days as
with attributed as (
    select
        days.*,
        days.activity_date = players.first_seen_date as is_new,
        coalesce(own.platform, players.first_platform, 'Unknown') as platform,
        coalesce(own.country, players.first_country_id, 'Unknown') as country,
        coalesce(own.app_version, players.first_app_version, 'Unknown') as app_version,
        coalesce(own.acquisition_channel, players.acquisition_channel, 'Unknown')
            as acquisition_channel
    from marts.fct_player_days as days
    inner join applications
        on
            days.application_id = applications.application_id
            and days.activity_date <= applications.as_of_date
    inner join marts.dim_players as players
        on days.application_id = players.application_id and days.player_id = players.player_id
    left join event_player_days as own
        on
            days.application_id = own.application_id
            and days.player_id = own.player_id
            and days.activity_date = own.activity_date
)

select
    * exclude (platform, country, app_version, acquisition_channel),
    unnest(['all', 'platform', 'country', 'app_version', 'acquisition_channel'])
        as segment_name,
    unnest(['all', platform, country, app_version, acquisition_channel]) as segment_value
from attributed;

create or replace temp table kpis as
with calendar as (
    select
        application_id,
        segment_name,
        segment_value,
        cast(unnest(generate_series(first_day, as_of_date, interval 1 day)) as date)
            as kpi_date
    from (
        select
            days.application_id,
            days.segment_name,
            days.segment_value,
            any_value(applications.as_of_date) as as_of_date,
            min(days.activity_date) as first_day
        from segmented_days as days
        inner join applications using (application_id)
        where days.segment_name <> 'all'
        group by all
        union all
        select application_id, 'all', 'all', as_of_date, first_date
        from applications
    )
),

-- A player counts in a trailing window from each active day until the window or the next active day ends.
-- So each active day makes two changes of a running sum, which replaces a distinct count per day.
presence as (
    select
        application_id,
        segment_name,
        segment_value,
        activity_date,
        lead(activity_date) over (
            partition by application_id, segment_name, segment_value, player_id
            order by activity_date
        ) as next_date
    from segmented_days
    where is_active
),

changes as (
    select
        application_id,
        segment_name,
        segment_value,
        unnest([
            activity_date,
            least(activity_date + 7, next_date),
            least(activity_date + 30, next_date)
        ]) as kpi_date,
        unnest([1, -1, 0]) as in_week,
        unnest([1, 0, -1]) as in_month
    from presence
),

in_windows as (
    select
        application_id,
        segment_name,
        segment_value,
        kpi_date,
        sum(in_week) as in_week,
        sum(in_month) as in_month
    from changes
    group by all
),

daily as (
    select
        application_id,
        segment_name,
        segment_value,
        activity_date as kpi_date,
        count_if(is_active) as dau,
        count_if(is_new) as new_players,
        sum(session_count) as session_count,
        sum(playtime_seconds) as playtime_seconds,
        sum(iap_revenue) as iap_revenue,
        sum(ad_revenue) as ad_revenue,
        sum(refunds) as refunds,
        sum(revenue) as revenue,
        count_if(is_payer) as payers,
        count_if(is_first_time_payer) as first_time_payers
    from segmented_days
    group by all
),

counted as (
    select
        calendar.*,
        coalesce(daily.dau, 0) as dau,
        sum(coalesce(in_windows.in_week, 0)) over so_far as wau,
        sum(coalesce(in_windows.in_month, 0)) over so_far as mau,
        coalesce(daily.new_players, 0) as new_players,
        coalesce(daily.session_count, 0) as session_count,
        coalesce(daily.playtime_seconds, 0) as playtime_seconds,
        coalesce(daily.iap_revenue, 0) as iap_revenue,
        coalesce(daily.ad_revenue, 0) as ad_revenue,
        coalesce(daily.refunds, 0) as refunds,
        coalesce(daily.revenue, 0) as revenue,
        coalesce(daily.payers, 0) as payers,
        coalesce(daily.first_time_payers, 0) as first_time_payers
    from calendar
    left join daily using (application_id, segment_name, segment_value, kpi_date)
    left join in_windows using (application_id, segment_name, segment_value, kpi_date)
    window so_far as (
        partition by calendar.application_id, calendar.segment_name, calendar.segment_value
        order by calendar.kpi_date
    )
)

select
    application_id,
    segment_name,
    segment_value,
    kpi_date,
    cast(dau as bigint) as dau,
    cast(wau as bigint) as wau,
    cast(mau as bigint) as mau,
    ratio(dau, mau) as stickiness,
    cast(new_players as bigint) as new_players,
    cast(dau - new_players as bigint) as returning_players,
    cast(session_count as bigint) as session_count,
    ratio(session_count, dau) as sessions_per_dau,
    cast(playtime_seconds as bigint) as playtime_seconds,
    cast(iap_revenue as decimal(18, 4)) as iap_revenue,
    cast(ad_revenue as decimal(18, 4)) as ad_revenue,
    cast(refunds as decimal(18, 4)) as refunds,
    cast(revenue as decimal(18, 4)) as revenue,
    cast(payers as bigint) as payers,
    cast(first_time_payers as bigint) as first_time_payers,
    ratio(payers, dau) as payer_conversion,
    money_per(revenue, dau) as arpdau,
    money_per(iap_revenue, payers) as arppu
from counted;

create or replace table marts.rpt_daily_kpis as
select * exclude (segment_name, segment_value)
from kpis
where segment_name = 'all';

create or replace table marts.rpt_daily_kpis_by_segment as
select *
from kpis
where segment_name <> 'all';

-- Retention ----------------------------------------------------------------------------------------

create or replace temp table cohort_players as
with offsets as (
    select
        days.application_id,
        days.player_id,
        players.first_seen_date as cohort_date,
        days.activity_date - players.first_seen_date as day_n,
        row_number() over (
            partition by days.application_id, days.player_id
            order by days.activity_date
        ) - 1 as nth
    from marts.fct_player_days as days
    inner join applications using (application_id)
    inner join marts.dim_players as players using (application_id, player_id)
    where days.is_active and days.activity_date <= applications.as_of_date
)

select
    application_id,
    player_id,
    cohort_date,
    list(day_n) as active_on,
    max(day_n) as last_n,
    min(day_n) filter (day_n > 0) as first_return,
    count_if(day_n = nth) - 1 as full_days
from offsets
group by all;

create or replace table marts.rpt_retention as
with counted as (
    select
        application_id,
        cohort_date,
        day_n,
        count(*) as cohort_size,
        cohort_date + day_n <= as_of_date as is_mature,
        count_if(list_contains(active_on, day_n)) as classic_players,
        count_if(last_n >= day_n) as rolling_players,
        count(*) filter (first_return <= day_n) as return_players,
        count_if(full_days >= day_n) as full_players
    from cohort_players
    inner join applications using (application_id)
    cross join (select unnest([1, 3, 7, 14, 30, 60, 90]) as day_n)
    group by all
)

select
    application_id,
    cohort_date,
    day_n,
    cast(cohort_size as bigint) as cohort_size,
    is_mature,
    cast(classic_players as bigint) as classic_players,
    case when is_mature then ratio(classic_players, cohort_size) end as classic_rate,
    cast(rolling_players as bigint) as rolling_players,
    case when is_mature then ratio(rolling_players, cohort_size) end as rolling_rate,
    cast(return_players as bigint) as return_players,
    case when is_mature then ratio(return_players, cohort_size) end as return_rate,
    cast(full_players as bigint) as full_players,
    case when is_mature then ratio(full_players, cohort_size) end as full_rate
from counted;

create or replace table marts.rpt_retention_overall as
with mature as (
    select
        application_id,
        day_n,
        cast(coalesce(sum(cohort_size) filter (is_mature), 0) as bigint) as cohort_size,
        cast(coalesce(sum(classic_players) filter (is_mature), 0) as bigint) as classic_players,
        cast(coalesce(sum(rolling_players) filter (is_mature), 0) as bigint) as rolling_players,
        cast(coalesce(sum(return_players) filter (is_mature), 0) as bigint) as return_players,
        cast(coalesce(sum(full_players) filter (is_mature), 0) as bigint) as full_players
    from marts.rpt_retention
    group by all
)

select
    *,
    ratio(classic_players, cohort_size) as classic_rate,
    ratio(rolling_players, cohort_size) as rolling_rate,
    ratio(return_players, cohort_size) as return_rate,
    ratio(full_players, cohort_size) as full_rate
from mature;

-- Lifetime value -----------------------------------------------------------------------------------

create or replace table marts.rpt_ltv as
with installs as (
    select
        application_id,
        first_seen_date as cohort_date,
        coalesce(acquisition_channel, 'Unknown') as acquisition_channel,
        count(*) as cohort_size
    from marts.dim_players
    where first_seen_date is not null
    group by all
),

spend as (
    select
        day_or_null(costs.date) as cohort_date,
        coalesce(text_or_null(costs.acquisition_channel), 'Unknown') as acquisition_channel,
        cast(
            sum(
                cast(number_or_null(costs.amount) as decimal(21, 8)) * case
                    when currency_code(costs.currency) = getvariable('reporting_currency')
                        then cast(1 as decimal(16, 8))
                    else rates.rate
                end
            ) as decimal(18, 4)
        ) as spend
    from spectrum.marketing_spend as costs
    left join rates
        on
            day_or_null(costs.date) = rates.rate_date
            and currency_code(costs.currency) = rates.currency
    group by all
),

revenue as (
    select
        days.application_id,
        players.first_seen_date as cohort_date,
        coalesce(players.acquisition_channel, 'Unknown') as acquisition_channel,
        days.activity_date - players.first_seen_date as age,
        sum(days.revenue) as revenue
    from marts.fct_player_days as days
    inner join applications using (application_id)
    inner join marts.dim_players as players using (application_id, player_id)
    where
        days.activity_date between players.first_seen_date and applications.as_of_date
        and days.revenue <> 0
    group by all
),

cohorts as (
    select
        installs.*,
        applications.as_of_date,
        spend.spend,
        sum(installs.cohort_size) over (
            partition by installs.cohort_date, installs.acquisition_channel
        ) as size_of_all
    from installs
    left join applications using (application_id)
    left join spend using (cohort_date, acquisition_channel)
),

aged as (
    select
        application_id,
        cohort_date,
        acquisition_channel,
        age_days,
        any_value(cohorts.cohort_size) as cohort_size,
        cast(coalesce(sum(revenue.revenue) filter (revenue.age <= age_days), 0) as decimal(18, 4))
            as cumulative_revenue,
        money_per(
            any_value(cohorts.spend) * any_value(cohorts.cohort_size),
            any_value(cohorts.size_of_all)
        ) as spend,
        cohort_date + age_days <= cohorts.as_of_date as is_mature
    from cohorts
    cross join (select unnest([0, 1, 3, 7, 14, 30, 60, 90, 180]) as age_days)
    left join revenue using (application_id, cohort_date, acquisition_channel)
    where cohort_date <= cohorts.as_of_date
    group by all
)

select
    application_id,
    cohort_date,
    acquisition_channel,
    age_days,
    cohort_size,
    cumulative_revenue,
    case when is_mature then money_per(cumulative_revenue, cohort_size) end as ltv,
    spend,
    case when is_mature then ratio(cumulative_revenue, spend) end as roas,
    is_mature
from aged;

create or replace table marts.rpt_ltv_overall as
with mature as (
    select
        application_id,
        age_days,
        cast(coalesce(sum(cohort_size) filter (is_mature), 0) as bigint) as cohort_size,
        cast(coalesce(sum(cumulative_revenue) filter (is_mature), 0) as decimal(18, 4))
            as cumulative_revenue,
        cast(sum(spend) filter (is_mature) as decimal(18, 4)) as spend
    from marts.rpt_ltv
    group by all
)

select
    *,
    money_per(cumulative_revenue, cohort_size) as ltv,
    ratio(cumulative_revenue, spend) as roas
from mature;

-- The ledger ---------------------------------------------------------------------------------------

create or replace temp table transactions as
select
    day_or_null(date) as bet_date,
    text_or_null(betid) as bet_id,
    text_or_null(playerid) as player_id,
    text_or_null(gameid) as game_id,
    upper(trim(txtype)) as kind,
    currency_code(txcurrency) as currency,
    number_or_null(coalesce(text_or_null(realamount), '0')) as cash,
    number_or_null(coalesce(text_or_null(bonusamount), '0')) as bonus,
    coalesce(
        bet_date is not null
        and bet_id is not null
        and player_id is not null
        and game_id is not null
        and kind in ('WAGER', 'RESULT')
        and cash is not null
        and bonus is not null,
        false
    ) as is_valid
from spectrum.game_transactions;

create or replace table marts.fct_bets as
with converted as (
    select
        transactions.* exclude (cash, bonus),
        kind = 'WAGER' as is_wager,
        case
            when transactions.currency = getvariable('reporting_currency')
                then cast(1 as decimal(16, 8))
            else rates.rate
        end as known_rate,
        cast(cash as decimal(21, 8)) * known_rate as cash,
        cast(bonus as decimal(21, 8)) * known_rate as bonus
    from transactions
    left join rates
        on
            transactions.bet_date = rates.rate_date
            and transactions.currency = rates.currency
    where is_valid
),

-- A sum is null if one of its parts has no exchange rate.
summed as (
    select
        bet_date,
        player_id,
        game_id,
        count_if(is_wager) as bet_count,
        bool_and(known_rate is not null or not is_wager) as wagers_known,
        bool_and(known_rate is not null or is_wager) as results_known,
        coalesce(sum(cash) filter (is_wager), 0) as cash_turnover,
        coalesce(sum(bonus) filter (is_wager), 0) as bonus_turnover,
        coalesce(sum(cash) filter (not is_wager), 0) as cash_winnings,
        coalesce(sum(bonus) filter (not is_wager), 0) as bonus_winnings
    from converted
    group by all
),

rounded as (
    select
        bet_date,
        player_id,
        game_id,
        cast(bet_count as bigint) as bet_count,
        case when wagers_known then cast(cash_turnover as decimal(18, 4)) end as cash_turnover,
        case when wagers_known then cast(bonus_turnover as decimal(18, 4)) end as bonus_turnover,
        case when results_known then cast(cash_winnings as decimal(18, 4)) end as cash_winnings,
        case when results_known then cast(bonus_winnings as decimal(18, 4)) end as bonus_winnings
    from summed
)

select
    *,
    cast(cash_turnover + bonus_turnover as decimal(18, 4)) as turnover,
    cast(cash_winnings + bonus_winnings as decimal(18, 4)) as winnings,
    cast(cash_turnover - cash_winnings as decimal(18, 4)) as cash_result,
    cast(bonus_turnover - bonus_winnings as decimal(18, 4)) as bonus_result,
    cast(turnover - winnings as decimal(18, 4)) as gross_result
from rounded;

create or replace table marts.rpt_betting as
with halves as (
    select
        game_id,
        bet_id,
        count_if(kind = 'WAGER') as wagers,
        count_if(kind = 'RESULT') as results
    from transactions
    where is_valid
    group by all
),

open_ends as (
    select
        bet_date,
        game_id,
        count_if(kind = 'WAGER' and results = 0) as unsettled_wager_count,
        count_if(kind = 'RESULT' and wagers = 0) as wins_without_wager_count
    from transactions
    inner join halves using (game_id, bet_id)
    where is_valid
    group by all
),

summed as (
    select
        bet_date,
        game_id,
        cast(sum(bet_count) as bigint) as bet_count,
        count_if(bet_count > 0) as players,
        case when count(turnover) = count(*) then cast(sum(turnover) as decimal(18, 4)) end as turnover,
        case when count(winnings) = count(*) then cast(sum(winnings) as decimal(18, 4)) end as winnings,
        case when count(gross_result) = count(*) then cast(sum(gross_result) as decimal(18, 4)) end as ggr,
        case when count(cash_result) = count(*) then cast(sum(cash_result) as decimal(18, 4)) end as ngr
    from marts.fct_bets
    group by all
)

select
    summed.* replace (cast(players as bigint) as players),
    ratio(winnings, turnover) as rtp,
    ratio(ggr, turnover) as hold,
    cast(unsettled_wager_count as bigint) as unsettled_wager_count,
    cast(wins_without_wager_count as bigint) as wins_without_wager_count
from summed
inner join open_ends using (bet_date, game_id);

create or replace table marts.dim_games as
with games as (
    select
        trim(id) as game_id,
        max(text_or_null(game_name)) as game_name,
        max(text_or_null(gameproviderid)) as game_provider_id
    from spectrum.games
    where text_or_null(id) is not null
    group by all
),

providers as (
    select
        trim(id) as game_provider_id,
        max(text_or_null(game_provider_name)) as game_provider_name
    from spectrum.game_providers
    group by all
),

categories as (
    select
        trim(game_id) as game_id,
        min(text_or_null(game_category)) as game_category
    from spectrum.game_categories
    group by all
)

select
    game_id,
    coalesce(game_name, 'Unknown') as game_name,
    game_provider_id,
    coalesce(game_provider_name, 'Unknown') as game_provider_name,
    coalesce(game_category, 'Unknown') as game_category
from (select game_id from games union select game_id from marts.fct_bets)
left join games using (game_id)
left join providers using (game_provider_id)
left join categories using (game_id);

create or replace table marts.dim_ledger_players as
with current_players as (
    select
        trim(playerid) as player_id,
        upper(text_or_null(country)) as country,
        date_diff('year', day_or_null(birthdate), today)
        - cast(strftime(day_or_null(birthdate), '%m%d') > strftime(today, '%m%d') as integer) as age,
        text_or_null(gender) as gender,
        text_or_null(playerstate) as player_state,
        flag(vip) as is_vip,
        flag(kyc) as is_verified,
        flag(wantsnewsletter) as wants_newsletter,
        day_or_null(latestupdate) as updated_date
    from
        spectrum.players,
        (select cast(make_timestamp(epoch_us(now())) as date) as today)
    where text_or_null(playerid) is not null
    qualify row_number() over (
        partition by trim(playerid)
        order by
            updated_date desc nulls last,
            trim(latestupdate) desc,
            coalesce(upper(text_or_null(country)), ''),
            coalesce(cast(day_or_null(birthdate) as varchar), ''),
            coalesce(text_or_null(gender), ''),
            coalesce(text_or_null(playerstate), ''),
            is_vip,
            is_verified,
            wants_newsletter
    ) = 1
)

select
    player_id,
    coalesce(country, 'Unknown') as country,
    case
        when age is null then 'Unknown'
        when age < 18 then 'under 18'
        when age < 25 then '18-24'
        when age < 35 then '25-34'
        when age < 45 then '35-44'
        when age < 55 then '45-54'
        when age < 65 then '55-64'
        else '65 and over'
    end as age_band,
    coalesce(gender, 'Unknown') as gender,
    coalesce(player_state, 'Unknown') as player_state,
    is_vip,
    is_verified,
    wants_newsletter,
    updated_date
from current_players;

-- Data health --------------------------------------------------------------------------------------

create or replace table marts.rpt_data_health as
with landed as (
    select
        partition_date as health_date,
        count(*) as landed_count,
        count_if(reason is not null) as schema_mismatch_count
    from staged
    where partition_date is not null
    group by all
),

rejected as (
    select
        try_cast(year || '-' || month || '-' || day as date) as health_date,
        count(*) as rejected_count
    from spectrum.rejected_events
    group by all
),

repeated as (
    select
        event_date,
        count(*) as repeated_across_days_count
    from (
        select
            event_date,
            event_date - lag(event_date) over (
                partition by application_id, event_id
                order by event_date
            ) as days_apart
        from events
    )
    where days_apart <= 2
    group by all
),

kept as (
    select
        event_date as health_date,
        count(*) as event_count,
        count_if(days_late = 1) as late_1_day_count,
        count_if(days_late between 2 and 7) as late_2_to_7_days_count,
        count_if(days_late > 7) as late_over_7_days_count,
        count_if(not is_known_type) as unknown_type_count,
        count_if(player_id is null) as null_player_count
    from (
        select
            *,
            cast(make_timestamp(arrival * 1000000) as date) - event_date as days_late
        from events
    )
    group by all
),

shared as (
    select
        event_date as health_date,
        count(*) as shared_transaction_count
    from (
        select
            event_date,
            min(player_id) over same_transaction <> max(player_id) over same_transaction as is_shared
        from converted
        where event_type = 'iap_transaction' and player_id is not null
        window same_transaction as (partition by application_id, transaction_id)
    )
    where is_shared
    group by all
),

unknown_refunds as (
    select
        event_date,
        count(*) as refund_count
    from events
    anti join marts.fct_purchases using (application_id, transaction_id)
    where event_type = 'iap_refund'
    group by all
),

daily as (
    select
        'raw_events' as source_name,
        health_date,
        coalesce(landed_count, 0) as landed_count,
        coalesce(rejected_count, 0) as rejected_count,
        coalesce(schema_mismatch_count, 0) as schema_mismatch_count,
        coalesce(landed_count - schema_mismatch_count - coalesce(event_count, 0), 0)
            as duplicate_count,
        coalesce(late_1_day_count, 0) as late_1_day_count,
        coalesce(late_2_to_7_days_count, 0) as late_2_to_7_days_count,
        coalesce(late_over_7_days_count, 0) as late_over_7_days_count,
        coalesce(repeated_across_days_count, 0) as repeated_across_days_count,
        coalesce(unknown_type_count, 0) as unknown_type_count,
        coalesce(null_player_count, 0) as null_player_count,
        coalesce(shared_transaction_count, 0) as shared_transaction_count
    from landed
    full join rejected using (health_date)
    left join kept using (health_date)
    left join shared using (health_date)
    left join repeated on health_date = repeated.event_date
    union all
    select
        'game_transactions',
        bet_date,
        count(*),
        0,
        count_if(not is_valid),
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0
    from transactions
    where bet_date is not null
    group by all
)

select
    daily.* replace (
        cast(daily.schema_mismatch_count as bigint) as schema_mismatch_count,
        cast(daily.duplicate_count as bigint) as duplicate_count,
        cast(daily.late_1_day_count as bigint) as late_1_day_count,
        cast(daily.late_2_to_7_days_count as bigint) as late_2_to_7_days_count,
        cast(daily.late_over_7_days_count as bigint) as late_over_7_days_count,
        cast(daily.unknown_type_count as bigint) as unknown_type_count,
        cast(daily.null_player_count as bigint) as null_player_count,
        cast(daily.shared_transaction_count as bigint) as shared_transaction_count
    ),
    cast(coalesce(unknown_refunds.refund_count, 0) as bigint) as unknown_refund_count,
    -- Refunds of the sample have no amount, so none is of more than is left of its purchase.
    cast(0 as bigint) as excess_refund_count,
    week_before.landed_count as landed_count_a_week_before,
    ratio(daily.landed_count, week_before.landed_count) as volume_against_a_week_before
from daily
left join unknown_refunds
    on
        daily.source_name = 'raw_events'
        and daily.health_date = unknown_refunds.event_date
left join daily as week_before
    on
        daily.source_name = week_before.source_name
        and daily.health_date - 7 = week_before.health_date;
