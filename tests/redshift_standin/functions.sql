-- Functions and operators that give the results of Redshift, in the place of PostgreSQL's own.
--
-- PostgreSQL searches pg_catalog before every other schema, so the functions are created there. PostgreSQL calls
-- its internal functions by object id, so changing the row in pg_proc has no effect on them. Therefore a function of
-- the same signature is first renamed to `pg_...`.

create schema standin;
grant usage on schema standin to public;

create function standin.set_aside(signature regprocedure) returns void language sql as
$$ update pg_catalog.pg_proc set proname = 'pg_' || proname where oid = signature $$;

-- Numbers ------------------------------------------------------------------------------------------
-- A decimal has at most 38 digits. For + - *, PostgreSQL's numeric has the scale of Redshift's rules, so only
-- the precision is checked, on the value.

create function standin.fits_38_digits(value numeric) returns numeric language plpgsql immutable strict as $$
begin
    if abs(value) >= power(10::numeric, 38 - scale(value)) then
        raise exception 'Numeric data overflow (result precision)' using errcode = '22003';
    end if;
    return value;
end $$;

create function standin.multiplied(a numeric, b numeric) returns numeric language sql immutable strict as
$$ select standin.fits_38_digits(numeric_mul(a, b)) $$;
create function standin.added(a numeric, b numeric) returns numeric language sql immutable strict as
$$ select standin.fits_38_digits(numeric_add(a, b)) $$;
create function standin.subtracted(a numeric, b numeric) returns numeric language sql immutable strict as
$$ select standin.fits_38_digits(numeric_sub(a, b)) $$;

-- The proxy calls this function if it knows the types of both operands (numeric_types.py). Redshift's rule for
-- division gives the precision and scale of the result.
create function standin.divided(a numeric, b numeric, result_precision int, result_scale int)
returns numeric language plpgsql immutable strict as $$
declare
    -- The quotient is computed with twice as many digits as are kept, so that cutting digits off is exact.
    quotient numeric := trunc(numeric_div(round(a, result_scale * 2 + 4), b), result_scale);
begin
    if abs(quotient) >= power(10::numeric, result_precision - result_scale) then
        raise exception 'Numeric data overflow (result precision)' using errcode = '22003';
    end if;
    return quotient;
end $$;

-- AVG keeps the type of its argument: the average of integers is an integer, and the average of decimals has their
-- scale. PostgreSQL's sum of bigints is a numeric, so the third argument, one of the values, gives the type.
create function standin.average(total bigint, rows bigint, one bigint) returns bigint language sql immutable as
$$ select total / nullif(rows, 0) $$;
create function standin.average(total numeric, rows bigint, one bigint) returns bigint language sql immutable as
$$ select trunc(numeric_div(total, nullif(rows, 0)::numeric))::bigint $$;
create function standin.average(total numeric, rows bigint, one numeric) returns numeric language sql immutable as
$$ select trunc(numeric_div(total, nullif(rows, 0)::numeric), scale(total)) $$;
create function standin.average(total float8, rows bigint, one float8) returns float8 language sql immutable as
$$ select total / nullif(rows, 0) $$;
create function standin.average(total float4, rows bigint, one float4) returns float8 language sql immutable as
$$ select total::float8 / nullif(rows, 0) $$;
create function standin.average(total interval, rows bigint, one interval) returns interval language sql immutable as
$$ select total / nullif(rows, 0) $$;

-- An explicit cast of a decimal cuts digits off, unless enable_numeric_rounding is on. An assignment rounds. A cast of
-- a literal rounds, which the proxy arranges (rewriting.py). A cast of a text or a double to a decimal rounds.
create function standin.cuts_digits(is_explicit bool) returns bool language sql stable as $$
    select is_explicit and coalesce(current_setting('standin.enable_numeric_rounding', true), '') <> 'on'
$$;
create function standin.fits_64_bits(value numeric, digits int) returns numeric language plpgsql immutable strict as $$
begin
    -- Redshift stores a decimal of 19 digits in 64 bits, which cannot hold every number of 19 digits.
    if abs(value) * power(10::numeric, digits) > 9223372036854775807 then
        raise exception 'Numeric data overflow' using errcode = '22003';
    end if;
    return value;
end $$;
-- This function must not be inlined, because CREATE TABLE AS takes the type of the column from the call.
create function standin.fit_numeric(value numeric, typmod int, is_explicit bool)
returns numeric language plpgsql stable strict as $$
begin
    if typmod >= 4 and standin.cuts_digits(is_explicit) then
        value := trunc(value, (typmod - 4) & 2047);
    end if;
    value := pg_catalog."numeric"(value, typmod);
    if (typmod - 4) >> 16 = 19 then
        return standin.fits_64_bits(value, (typmod - 4) & 2047);
    end if;
    return value;
end $$;
create function standin.to_smallint(value numeric, typmod int, is_explicit bool) returns smallint language sql stable as
$$ select pg_catalog.int2(case when standin.cuts_digits(is_explicit) then trunc(value) else value end) $$;
create function standin.to_integer(value numeric, typmod int, is_explicit bool) returns int language sql stable as
$$ select pg_catalog.int4(case when standin.cuts_digits(is_explicit) then trunc(value) else value end) $$;
create function standin.to_bigint(value numeric, typmod int, is_explicit bool) returns bigint language sql stable as
$$ select pg_catalog.int8(case when standin.cuts_digits(is_explicit) then trunc(value) else value end) $$;
create function standin.to_numeric(value float8, typmod int, is_explicit bool) returns numeric language plpgsql stable strict as
$$ begin return standin.fit_numeric(pg_catalog."numeric"(value), typmod, false); end $$;
create function standin.to_numeric(value float4, typmod int, is_explicit bool) returns numeric language plpgsql stable strict as
$$ begin return standin.fit_numeric(pg_catalog."numeric"(value), typmod, false); end $$;
create function standin.to_numeric(value text, typmod int, is_explicit bool) returns numeric language plpgsql stable strict as
$$ begin return standin.fit_numeric(pg_catalog.numeric_in(value::cstring, 1700, -1), typmod, false); end $$;
create function standin.to_numeric(value varchar, typmod int, is_explicit bool) returns numeric language plpgsql stable strict as
$$ begin return standin.fit_numeric(pg_catalog.numeric_in(value::cstring, 1700, -1), typmod, false); end $$;
create function standin.rounded(value numeric, digits int) returns numeric language sql immutable strict as
$$ select pg_catalog.round(value, digits) $$;

create function pg_catalog.round(value float8, digits int) returns float8 language sql immutable strict as
$$ select round(value::numeric, digits)::float8 $$;
create function pg_catalog.trunc(value float8, digits int) returns float8 language sql immutable strict as
$$ select trunc(value::numeric, digits)::float8 $$;
create function pg_catalog.trunc(value timestamp) returns date language sql immutable strict as
$$ select value::date $$;
create function pg_catalog.strtol(digits text, base int) returns bigint language plpgsql immutable strict as $$
declare
    value bigint := 0;
    digit text;
begin
    foreach digit in array regexp_split_to_array(lower(digits), '') loop
        value := value * base + position(digit in '0123456789abcdefghijklmnopqrstuvwxyz') - 1;
    end loop;
    return value;
end $$;

-- Texts --------------------------------------------------------------------------------------------
-- The n of varchar(n) counts bytes. An explicit cast cuts the text after the last whole character that fits. An
-- assignment refuses a text that is too long.

create function standin.cut_to_bytes(value text, byte_count int) returns text language plpgsql immutable strict as $$
declare
    bytes bytea := substring(convert_to(value, 'UTF8') from 1 for byte_count + 1);
    kept int := byte_count;
begin
    while kept > 0 and get_byte(bytes, kept) & 192 = 128 loop
        kept := kept - 1;
    end loop;
    return convert_from(substring(bytes from 1 for kept), 'UTF8');
end $$;

create function standin.refuse_length(byte_count int) returns varchar language plpgsql immutable as $$
begin
    raise exception 'value too long for type character varying(%)', byte_count using errcode = '22001';
end $$;

create function standin.fit_varchar(value varchar, typmod int, is_explicit bool)
returns varchar language sql immutable strict as $$
    select case
        when typmod < 4 or octet_length(value) <= typmod - 4 then value
        when is_explicit then standin.cut_to_bytes(value, typmod - 4)::varchar
        -- An assignment drops trailing blanks that do not fit.
        when octet_length(rtrim(value, ' ')) <= typmod - 4
            then standin.cut_to_bytes(value, typmod - 4)::varchar
        else standin.refuse_length(typmod - 4)
    end
$$;

create function pg_catalog.len(value text) returns int language sql immutable strict as $$ select length(value) $$;
create function pg_catalog.charindex(part text, whole text) returns int language sql immutable strict as
$$ select strpos(whole, part) $$;
create function pg_catalog.sha2(value text, bits int) returns varchar language sql immutable strict as $$
    select case bits
        when 512 then encode(sha512(convert_to(value, 'UTF8')), 'hex')
        when 384 then encode(sha384(convert_to(value, 'UTF8')), 'hex')
        when 224 then encode(sha224(convert_to(value, 'UTF8')), 'hex')
        when 256 then encode(sha256(convert_to(value, 'UTF8')), 'hex')
        when 0 then encode(sha256(convert_to(value, 'UTF8')), 'hex')
    end::varchar
$$;
-- PostgreSQL has SHA-1 only in an extension. Words of 32 bits are kept in 64, because integers have a sign.
create function standin.rotated(word bigint, places int) returns bigint language sql immutable strict as
$$ select ((word << places) | (word >> (32 - places))) & 4294967295 $$;
create function pg_catalog.sha1(value text) returns varchar language plpgsql immutable strict as $$
declare
    message bytea := convert_to(value, 'UTF8');
    bits bigint := octet_length(message) * 8::bigint;
    state bigint[] := array[1732584193, 4023233417, 2562383102, 271733878, 3285377520];
    words bigint[];
    a bigint; b bigint; c bigint; d bigint; e bigint; f bigint; k bigint; next bigint;
begin
    message := message || '\x80'::bytea;
    message := message || decode(repeat('00', (120 - octet_length(message) % 64) % 64), 'hex') || int8send(bits);
    for block in 0 .. octet_length(message) / 64 - 1 loop
        words := array(
            select (get_byte(message, block * 64 + place * 4)::bigint << 24)
                | (get_byte(message, block * 64 + place * 4 + 1) << 16)
                | (get_byte(message, block * 64 + place * 4 + 2) << 8)
                | get_byte(message, block * 64 + place * 4 + 3)
            from generate_series(0, 15) as places (place) order by place);
        for t in 17 .. 80 loop
            words[t] := standin.rotated(words[t - 3] # words[t - 8] # words[t - 14] # words[t - 16], 1);
        end loop;
        a := state[1]; b := state[2]; c := state[3]; d := state[4]; e := state[5];
        for t in 1 .. 80 loop
            if t <= 20 then
                f := (b & c) | ((b # 4294967295) & d); k := 1518500249;
            elsif t <= 40 then
                f := b # c # d; k := 1859775393;
            elsif t <= 60 then
                f := (b & c) | (b & d) | (c & d); k := 2400959708;
            else
                f := b # c # d; k := 3395469782;
            end if;
            next := (standin.rotated(a, 5) + f + e + k + words[t]) & 4294967295;
            e := d; d := c; c := standin.rotated(b, 30); b := a; a := next;
        end loop;
        state := array[(state[1] + a) & 4294967295, (state[2] + b) & 4294967295, (state[3] + c) & 4294967295,
            (state[4] + d) & 4294967295, (state[5] + e) & 4294967295];
    end loop;
    return (select string_agg(lpad(to_hex(word), 8, '0'), '' order by place)
        from unnest(state) with ordinality as words (word, place));
end $$;
create function pg_catalog.sha(value text) returns varchar language sql immutable strict as $$ select sha1(value) $$;
create function pg_catalog.func_sha1(value text) returns varchar language sql immutable strict as $$ select sha1(value) $$;

-- REGEXP_REPLACE replaces every match. PostgreSQL does that only with the flag `g`.
select standin.set_aside('pg_catalog.regexp_replace(text,text,text)');
create function pg_catalog.regexp_replace(source text, pattern text, replacement text)
returns text language sql immutable strict as
$$ select regexp_replace(source, pattern, replacement, 'g') $$;
create function pg_catalog.regexp_replace(source text, pattern text)
returns text language sql immutable strict as
$$ select regexp_replace(source, pattern, '', 'g') $$;
select standin.set_aside('pg_catalog.regexp_replace(text,text,text,int)');
create function pg_catalog.regexp_replace(source text, pattern text, replacement text, start int, parameters text)
returns text language sql immutable strict as $$
    select left(source, start - 1) || pg_catalog.regexp_replace(
        substr(source, start), pattern, replacement, case when strpos(parameters, 'i') > 0 then 'gi' else 'g' end)
$$;
create function pg_catalog.regexp_replace(source text, pattern text, replacement text, start int)
returns text language sql immutable strict as
$$ select pg_catalog.regexp_replace(source, pattern, replacement, start, 'c') $$;

-- REGEXP_SUBSTR returns an empty text if nothing matches.
select standin.set_aside('pg_catalog.regexp_substr(text,text)');
create function pg_catalog.regexp_substr(source text, pattern text) returns text language sql immutable strict as
$$ select coalesce(pg_regexp_substr(source, pattern), '') $$;

-- UPPER and LOWER of Redshift convert every letter of UTF-8. Redshift compares by the C locale, which converts only
-- ASCII letters.
select standin.set_aside('pg_catalog.upper(text)');
create function pg_catalog.upper(value text) returns text language sql immutable strict as
$$ select pg_upper(value collate "und-x-icu") collate "C" $$;
select standin.set_aside('pg_catalog.lower(text)');
create function pg_catalog.lower(value text) returns text language sql immutable strict as
$$ select pg_lower(value collate "und-x-icu") collate "C" $$;

-- JSON ---------------------------------------------------------------------------------------------

create function pg_catalog.is_valid_json(value text) returns bool language plpgsql immutable strict as $$
begin
    return json_typeof(value::json) = 'object';
exception when others then
    return false;
end $$;

create function pg_catalog.is_valid_json_array(value text) returns bool language plpgsql immutable strict as $$
begin
    return json_typeof(value::json) = 'array';
exception when others then
    return false;
end $$;

-- Returns null for a path that the JSON does not have. Invalid JSON is an error, or null with `null_if_invalid`.
create function standin.json_path_text(value text, path text[], null_if_invalid bool)
returns text language plpgsql immutable as $$
declare
    parsed json;
begin
    if value is null or array_position(path, null) is not null then
        return null;
    end if;
    parsed := value::json;
    return parsed #>> path;
exception when others then
    if null_if_invalid then
        return null;
    end if;
    raise exception 'JSON parsing error'
        using errcode = 'XX000',
            detail = 'error: JSON parsing error code: 8001 context: invalid json object ' || left(value, 100);
end $$;

do $$
declare
    keys text := 'key_1 text';
    path text := 'key_1';
    call text;
begin
    for level in 1 .. 5 loop
        if level > 1 then
            keys := keys || format(', key_%s text', level);
            path := path || format(', key_%s', level);
        end if;
        call := 'standin.json_path_text(value, array[' || path || ']';
        execute format('create function pg_catalog.json_extract_path_text(value text, %s) returns varchar '
            'language sql immutable as %L', keys, 'select ' || call || ', false)::varchar');
        execute format('create function pg_catalog.json_extract_path_text(value text, %s, null_if_invalid bool) '
            'returns varchar language sql immutable as %L', keys, 'select ' || call || ', null_if_invalid)::varchar');
    end loop;
end $$;

create function pg_catalog.json_extract_array_element_text(value text, place int, null_if_invalid bool default false)
returns varchar language plpgsql immutable strict as $$
begin
    return value::json ->> place;
exception when others then
    if null_if_invalid then
        return null;
    end if;
    raise exception 'JSON parsing error' using errcode = 'XX000';
end $$;

create function pg_catalog.json_array_length(value text, null_if_invalid bool default false)
returns int language plpgsql immutable strict as $$
begin
    return pg_catalog.json_array_length(value::json);
exception when others then
    if null_if_invalid then
        return null;
    end if;
    raise exception 'JSON parsing error' using errcode = 'XX000';
end $$;

create function pg_catalog.json_parse(value text) returns jsonb language sql immutable strict as $$ select value::jsonb $$;
create function pg_catalog.json_serialize(value jsonb) returns varchar language sql immutable strict as
$$ select value::text::varchar $$;
create function pg_catalog.can_json_parse(value text) returns bool language plpgsql immutable strict as $$
begin
    perform value::jsonb;
    return true;
exception when others then
    return false;
end $$;

-- Times --------------------------------------------------------------------------------------------

create function pg_catalog.getdate() returns timestamp language sql stable as
$$ select date_trunc('second', statement_timestamp() at time zone current_setting('timezone')) $$;
create function pg_catalog.sysdate() returns timestamp language sql stable as
$$ select now() at time zone current_setting('timezone') $$;

create function standin.unit_of_time(written text) returns text language sql immutable strict as $$
    select case
        when written in ('y', 'yr', 'yrs', 'year', 'years') then 'year'
        when written in ('q', 'qtr', 'qtrs', 'quarter', 'quarters') then 'quarter'
        when written in ('mon', 'mons', 'month', 'months') then 'month'
        when written in ('w', 'week', 'weeks') then 'week'
        when written in ('d', 'day', 'days') then 'day'
        when written in ('h', 'hr', 'hrs', 'hour', 'hours') then 'hour'
        when written in ('m', 'mi', 'min', 'mins', 'minute', 'minutes') then 'minute'
        when written in ('s', 'sec', 'secs', 'second', 'seconds') then 'second'
        when written in ('ms', 'msec', 'msecs', 'millisecond', 'milliseconds') then 'millisecond'
        when written in ('microsec', 'microsecs', 'microsecond', 'microseconds') then 'microsecond'
    end
$$;

create function standin.unit_length(unit text) returns interval language sql immutable strict as $$
    select case standin.unit_of_time(lower(unit))
        when 'quarter' then interval '3 months'
        else ('1 ' || standin.unit_of_time(lower(unit)))::interval
    end
$$;

-- Adding months ends on the last day of a shorter month. Adding years to 29 February ends on 1 March.
create function standin.moved(unit text, amount bigint, value timestamp)
returns timestamp language sql immutable strict as $$
    select value + amount * standin.unit_length(unit) + case
        when standin.unit_of_time(lower(unit)) = 'year'
            and date_part('day', value) > date_part('day', value + amount * standin.unit_length(unit))
            then interval '1 day'
        else interval '0'
    end
$$;
create function pg_catalog.dateadd(unit text, amount bigint, value timestamp)
returns timestamp language sql immutable strict as $$ select standin.moved(unit, amount, value) $$;
create function pg_catalog.dateadd(unit text, amount bigint, value date)
returns timestamp language sql immutable strict as $$ select standin.moved(unit, amount, value) $$;
create function pg_catalog.dateadd(unit text, amount bigint, value timestamptz)
returns timestamptz language sql stable strict as
$$ select standin.moved(unit, amount, value at time zone 'UTC') at time zone 'UTC' $$;

-- DATEDIFF counts the boundaries between two times, not the time that passed. For DATEDIFF, a week starts on Sunday.
create function pg_catalog.datediff(unit text, earlier timestamp, later timestamp)
returns bigint language sql immutable strict as $$
    select case standin.unit_of_time(lower(unit))
        when 'year' then date_part('year', later) - date_part('year', earlier)
        when 'quarter' then (date_part('year', later) - date_part('year', earlier)) * 4
            + date_part('quarter', later) - date_part('quarter', earlier)
        when 'month' then (date_part('year', later) - date_part('year', earlier)) * 12
            + date_part('month', later) - date_part('month', earlier)
        when 'week' then (date_trunc('week', later + interval '1 day')::date
            - date_trunc('week', earlier + interval '1 day')::date) / 7
        when 'day' then later::date - earlier::date
        when 'hour' then extract(epoch from date_trunc('hour', later) - date_trunc('hour', earlier)) / 3600
        when 'minute' then extract(epoch from date_trunc('minute', later) - date_trunc('minute', earlier)) / 60
        when 'second' then extract(epoch from date_trunc('second', later) - date_trunc('second', earlier))
        when 'millisecond' then extract(epoch from later - earlier) * 1000
        when 'microsecond' then extract(epoch from later - earlier) * 1000000
    end::bigint
$$;

create function pg_catalog.last_day(value timestamp) returns date language sql immutable strict as
$$ select (date_trunc('month', value) + interval '1 month - 1 day')::date $$;
create function pg_catalog.add_months(value timestamp, amount bigint) returns timestamp language sql immutable strict as $$
    select case
        when value::date = last_day(value)
            then last_day(value + amount * interval '1 month') + (value - date_trunc('day', value))
        else value + amount * interval '1 month'
    end
$$;
create function pg_catalog.months_between(later timestamp, earlier timestamp)
returns float8 language sql immutable strict as $$
    select (date_part('year', later) - date_part('year', earlier)) * 12
        + date_part('month', later) - date_part('month', earlier)
        + (date_part('day', later) - date_part('day', earlier)) / 31.0
$$;
create function pg_catalog.convert_timezone(source text, target text, value timestamp)
returns timestamp language sql immutable strict as $$ select value at time zone source at time zone target $$;
create function pg_catalog.convert_timezone(target text, value timestamp)
returns timestamp language sql immutable strict as $$ select value at time zone 'UTC' at time zone target $$;

-- EXTRACT and DATE_PART return integers, except for a timestamp with a time zone.
do $$
declare
    kind text;
begin
    foreach kind in array array['timestamp', 'date', 'time', 'interval'] loop
        execute format('create function standin.part_of(unit text, value %s) returns int language sql immutable strict '
            'as %L', kind, 'select trunc(date_part(unit, value))::int');
        execute format('create function standin.epoch_of(value %s) returns bigint language sql immutable strict '
            'as %L', kind, 'select trunc(date_part(''epoch'', value))::bigint');
    end loop;
end $$;
create function standin.part_of(unit text, value timestamptz) returns float8 language sql stable strict as
$$ select date_part(unit, value) $$;
create function standin.epoch_of(value timestamptz) returns float8 language sql stable strict as
$$ select date_part('epoch', value) $$;

-- `sample` gives PostgreSQL the type of the result. `type_name` gives the type of the cast, because `sample` has
-- neither a length nor a domain.
create function standin.try_cast(value text, type_name text, sample anyelement)
returns anyelement language plpgsql stable as $$
declare
    result alias for $0;
begin
    execute format('select cast(%L as %s)', value, type_name) into result;
    return result;
exception when data_exception or invalid_datetime_format then
    return null;
end $$;

-- If `is_strict` is false, which is the default, a day beyond the end of its month continues into the next month.
select standin.set_aside('pg_catalog.to_date(text,text)');
create function pg_catalog.to_date(value text, format text, is_strict bool)
returns date language plpgsql immutable strict as $$
declare
    year_at int := strpos(upper(format), 'YYYY');
    month_at int := strpos(upper(format), 'MM');
    day_at int := strpos(upper(format), 'DD');
    part text[] := array[substr(value, year_at, 4), substr(value, month_at, 2), substr(value, day_at, 2)];
begin
    return pg_to_date(value, format);
exception when datetime_field_overflow or invalid_datetime_format then
    -- The positions of the parts are known only in a format of numbers with a fixed width. The name of a month has
    -- no fixed width.
    if is_strict or least(year_at, month_at, day_at) = 0 or upper(format) ~ 'MON|DAY|DY'
        or array_to_string(part, '') !~ '^\d{8}$' then
        raise;
    end if;
    return (make_date(part[1]::int, 1, 1) + make_interval(months => part[2]::int - 1))::date + part[3]::int - 1;
end $$;
create function pg_catalog.to_date(value text, format text) returns date language sql immutable strict as
$$ select to_date(value, format, false) $$;

-- Types, operators and casts that use the functions above ---------------------------------------------
-- They come last, because the functions above need PostgreSQL's own operators and casts.
create domain pg_catalog.super as jsonb;
create domain pg_catalog.varbyte as bytea;

update pg_catalog.pg_operator set oprcode = 'standin.multiplied'::regproc
where oid = 'pg_catalog.*(numeric,numeric)'::regoperator;
update pg_catalog.pg_operator set oprcode = 'standin.added'::regproc
where oid = 'pg_catalog.+(numeric,numeric)'::regoperator;
update pg_catalog.pg_operator set oprcode = 'standin.subtracted'::regproc
where oid = 'pg_catalog.-(numeric,numeric)'::regoperator;
update pg_catalog.pg_cast set castfunc = 'standin.fit_varchar'::regproc
where castsource = 'varchar'::regtype and casttarget = 'varchar'::regtype;
update pg_catalog.pg_cast set castfunc = 'standin.fit_numeric'::regproc
where castsource = 'numeric'::regtype and casttarget = 'numeric'::regtype;
update pg_catalog.pg_cast set castfunc = 'standin.to_smallint'::regproc
where castsource = 'numeric'::regtype and casttarget = 'int2'::regtype;
update pg_catalog.pg_cast set castfunc = 'standin.to_integer'::regproc
where castsource = 'numeric'::regtype and casttarget = 'int4'::regtype;
update pg_catalog.pg_cast set castfunc = 'standin.to_bigint'::regproc
where castsource = 'numeric'::regtype and casttarget = 'int8'::regtype;
update pg_catalog.pg_cast set castfunc = 'standin.to_numeric(float8,int,bool)'::regprocedure
where castsource = 'float8'::regtype and casttarget = 'numeric'::regtype;
update pg_catalog.pg_cast set castfunc = 'standin.to_numeric(float4,int,bool)'::regprocedure
where castsource = 'float4'::regtype and casttarget = 'numeric'::regtype;
create cast (text as numeric) with function standin.to_numeric(text, int, bool);
create cast (varchar as numeric) with function standin.to_numeric(varchar, int, bool);

-- Trailing blanks do not count when texts are compared, joined, sorted or grouped. PostgreSQL's functions for CHAR
-- work in this way, and they can be used for texts because both types have the same form in memory.
do $$
declare
    pair text[];
    proc oid;
begin
    foreach pair slice 1 in array array[
        ['=', 'bpchareq'], ['<>', 'bpcharne'], ['<', 'bpcharlt'], ['<=', 'bpcharle'], ['>', 'bpchargt'], ['>=', 'bpcharge']
    ] loop
        execute format('create function standin.%s(text, text) returns bool language internal immutable strict '
            'parallel safe as %L', pair[2], pair[2]);
        update pg_catalog.pg_operator set oprcode = format('standin.%s', pair[2])::regproc
        where oid = format('pg_catalog.%s(text,text)', pair[1])::regoperator;
    end loop;
    create function standin.bpcharcmp(text, text) returns int language internal immutable strict parallel safe
    as 'bpcharcmp';
    create function standin.bpchar_sortsupport(internal) returns void language internal immutable strict parallel safe
    as 'bpchar_sortsupport';
    create function standin.hashbpchar(text) returns int language internal immutable strict parallel safe
    as 'hashbpchar';
    create function standin.hashbpcharextended(text, bigint) returns bigint language internal immutable strict
    parallel safe as 'hashbpcharextended';
    foreach pair slice 1 in array array[
        ['bttextcmp', 'bpcharcmp'], ['bttextsortsupport', 'bpchar_sortsupport'],
        ['hashtext', 'hashbpchar'], ['hashtextextended', 'hashbpcharextended']
    ] loop
        update pg_catalog.pg_amproc set amproc = format('standin.%s', pair[2])::regproc
        where amproc = format('pg_catalog.%s', pair[1])::regproc and amproclefttype = 'text'::regtype
            and amprocrighttype = 'text'::regtype;
    end loop;
end $$;
