-- The stand-in's own state, and the catalogue and log views of Redshift.

-- standin_catalog holds the views that replace relations of pg_catalog and information_schema.
create schema standin_catalog;
-- standin_external holds the rows of external tables.
create schema standin_external;
grant usage on schema standin_catalog to public;

-- State --------------------------------------------------------------------------------------------

create table standin.table_attributes (
    oid oid primary key, diststyle text, distkey name, sortstyle text, sortkeys name[], encodings jsonb,
    created timestamp default (now() at time zone 'UTC')
);
create table standin.late_binding_views (oid oid primary key, body text, has_columns bool);
create table standin.materialized_views (oid oid primary key, query text, autorefresh bool);
create table standin.user_groups (name name primary key);

create table standin.external_schemas (
    name name primary key, catalog_database text, iam_role text, options text, owner name default session_user
);
create table standin.external_tables (
    id serial primary key, schema_name name, table_name name, location text, input_format text, serde text,
    columns jsonb, partition_columns jsonb, serde_properties jsonb, properties jsonb,
    unique (schema_name, table_name)
);
create table standin.external_partitions (
    id serial primary key, table_id int references standin.external_tables on delete cascade,
    partition_values text[], location text, relation name, unique (table_id, partition_values)
);
create sequence standin.external_leaves;
create table standin.external_files (
    relation name, key text, etag text, size bigint, rows bigint, primary key (relation, key)
);

create table standin.query_history (
    user_id int, query_id bigint primary key, query_label text, transaction_id bigint, session_id int,
    database_name text, query_type text, status text, result_cache_hit bool, start_time timestamp,
    end_time timestamp, error_message text, returned_rows bigint, query_text text, username text
);
create table standin.external_scans (
    user_id int, query_id bigint, transaction_id bigint, schema_name text, table_name text,
    total_partitions int, qualified_partitions int, scanned_files bigint, scanned_rows bigint,
    scanned_bytes bigint, file_format text, file_location text, start_time timestamp, end_time timestamp
);

-- The rules of dynamic data masking: the policies, and the columns to which they are attached. A grantee that is
-- null stands for PUBLIC.
create table standin.masking_policies (
    name name primary key, input_name name, input_type text, expression text, output_type text,
    modified_by name default session_user, modified timestamp default (now() at time zone 'UTC')
);
create table standin.masking_attachments (
    policy name references standin.masking_policies, relation oid, column_name name, grantee name, priority int,
    grantor name default session_user
);
create role "sys:secadmin";

grant select on all tables in schema standin to public;
grant insert on standin.late_binding_views, standin.materialized_views to public;
grant insert, update, delete on standin.user_groups to public;

-- The proxy puts the attributes of a table before a statement, in a comment /*standin:{json}*/. This trigger
-- stores them by object id. It also turns columns of type text into the widest varchar, because Redshift has
-- no type text.
create function standin.on_ddl() returns event_trigger language plpgsql security definer as $$
declare
    attributes jsonb := (substring(current_query() from '^/\*standin:(.*?)\*/'))::jsonb;
    made record;
    named text;
begin
    for made in
        select objid from pg_event_trigger_ddl_commands()
        where classid = 'pg_class'::regclass and object_type = 'table'
            and command_tag in ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO')
            and schema_name not like 'standin%'
    loop
        if exists (
            select from standin.external_schemas as schemas
            inner join pg_catalog.pg_class as classes on classes.oid = made.objid
            where schemas.name::text::regnamespace = classes.relnamespace
        ) then
            raise exception 'Operations on local objects in external schema are not enabled.' using errcode = '0A000';
        end if;
        update pg_catalog.pg_attribute set atttypid = 'varchar'::regtype, atttypmod = 65535 + 4
        where attrelid = made.objid and attnum > 0 and atttypid = 'text'::regtype;
        for named in
            select jsonb_array_elements_text(
                coalesce(attributes -> 'sortkeys', '[]')
                || case when attributes ? 'distkey' then jsonb_build_array(attributes -> 'distkey') else '[]' end)
        loop
            if not exists (
                select from pg_catalog.pg_attribute
                where attrelid = made.objid and attname = named and attnum > 0
            ) then
                raise exception 'column "%" named in DISTKEY or SORTKEY does not exist', named using errcode = '42703';
            end if;
        end loop;
        insert into standin.table_attributes (oid, diststyle, distkey, sortstyle, sortkeys, encodings) values (
            made.objid,
            upper(coalesce(attributes ->> 'diststyle', case when attributes ? 'distkey' then 'KEY' else 'AUTO(ALL)' end)),
            attributes ->> 'distkey', attributes ->> 'sortstyle',
            array(select jsonb_array_elements_text(coalesce(attributes -> 'sortkeys', '[]'))),
            attributes -> 'encodings'
        ) on conflict (oid) do nothing;
    end loop;
end $$;
create event trigger standin_ddl on ddl_command_end execute function standin.on_ddl();

-- A late-binding view is stored as a placeholder view, which has its name, columns, owner and grants. The
-- proxy replaces every reference by the query of the view, so the placeholder itself must never be read.
create function standin.refuse_placeholder(view_name text) returns bool language plpgsql stable as $$
begin
    raise exception 'The Redshift stand-in failed: the late-binding view % was read without its query', view_name
        using errcode = 'XX000';
end $$;

create function standin.create_late_binding_view(target text, body text, probe text, replaces bool)
returns void language plpgsql as $$
declare
    columns text;
    is_known bool := true;
begin
    begin
        execute 'create temp view standin_probe as ' || probe;
        select string_agg(format('null::%s as %I',
                case when atttypid = 'text'::regtype then 'varchar' else format_type(atttypid, atttypmod) end, attname),
                ', ' order by attnum)
        into columns from pg_catalog.pg_attribute
        where attrelid = 'pg_temp.standin_probe'::regclass and attnum > 0;
        drop view pg_temp.standin_probe;
    exception when undefined_table or undefined_column or invalid_schema_name or undefined_function then
        -- The relations that a late-binding view reads need not exist when it is created.
        is_known := false;
        columns := 'null::varchar as unknown';
    end;
    if replaces then
        execute 'drop view if exists ' || target;
    end if;
    execute format('create view %s as select %s where standin.refuse_placeholder(%L)', target, columns, target);
    insert into standin.late_binding_views values (target::regclass, body, is_known);
end $$;

create function standin.create_materialized_view(target text, query text, source text, autorefresh bool)
returns void language plpgsql as $$
begin
    execute format('create materialized view %s as %s', target, query);
    insert into standin.materialized_views values (target::regclass, source, autorefresh);
end $$;

-- Dynamic data masking. Only a superuser and a member of sys:secadmin may create, attach, detach and see policies.
-- The functions run with the rights of the stand-in, so `session_user` is the user who called them.
create function standin.is_security_administrator() returns bool language sql stable as $$
    select pg_has_role(session_user, 'sys:secadmin', 'member')
$$;
create function standin.check_security_administrator() returns void language plpgsql stable as $$
begin
    if not standin.is_security_administrator() then
        raise exception 'permission denied: must be superuser or have the role sys:secadmin' using errcode = '42501';
    end if;
end $$;

create function standin.create_masking_policy(
    policy_name text, input text, input_type text, policy_expression text, probe text
) returns void language plpgsql security definer as $$
declare
    kind text;
begin
    perform standin.check_security_administrator();
    if exists (select from standin.masking_policies where name = policy_name) then
        raise exception 'masking policy "%" already exists', policy_name using errcode = '42710';
    end if;
    execute 'create temp view standin_probe as ' || probe;
    select case when atttypid = 'text'::regtype then 'character varying' else format_type(atttypid, atttypmod) end
    into kind from pg_catalog.pg_attribute where attrelid = 'pg_temp.standin_probe'::regclass and attnum = 1;
    drop view pg_temp.standin_probe;
    insert into standin.masking_policies (name, input_name, input_type, expression, output_type)
    values (policy_name, (parse_ident(input))[1], input_type, policy_expression, kind);
end $$;

create function standin.drop_masking_policy(policy_name text) returns void language plpgsql security definer as $$
begin
    perform standin.check_security_administrator();
    if exists (select from standin.masking_attachments where policy = policy_name) then
        raise exception 'masking policy "%" is attached', policy_name using errcode = '2BP01';
    end if;
    delete from standin.masking_policies where name = policy_name;
    if not found then
        raise exception 'masking policy "%" does not exist', policy_name using errcode = '42704';
    end if;
end $$;

-- Finds the relation of an attachment, and checks that it has the column and that it is no external or temporary table.
create function standin.maskable(target text, masked_column text) returns oid language plpgsql stable as $$
declare
    found_relation record;
begin
    select classes.oid, namespaces.nspname, classes.relpersistence into found_relation
    from pg_catalog.pg_class as classes
    inner join pg_catalog.pg_namespace as namespaces on namespaces.oid = classes.relnamespace
    where classes.oid = to_regclass(target) and classes.relkind in ('r', 'v', 'm');
    if found_relation is null then
        raise exception 'relation % does not exist', target using errcode = '42P01';
    elsif found_relation.relpersistence = 't'
        or found_relation.nspname in ('pg_catalog', 'information_schema')
        or exists (select from standin.external_schemas where name = found_relation.nspname)
    then
        raise exception 'a masking policy cannot be attached to %', target using errcode = '0A000';
    elsif not exists (
        select from pg_catalog.pg_attribute
        where attrelid = found_relation.oid and attname = masked_column and attnum > 0 and not attisdropped
    ) then
        raise exception 'column "%" does not exist', masked_column using errcode = '42703';
    end if;
    return found_relation.oid;
end $$;

create function standin.attach_masking_policy(
    policy_name text, target text, masked_column text, to_whom text, with_priority int
) returns void language plpgsql security definer as $$
declare
    target_oid oid;
    policy_type text;
    column_type text;
begin
    perform standin.check_security_administrator();
    target_oid := standin.maskable(target, masked_column);
    select output_type into policy_type from standin.masking_policies where name = policy_name;
    if policy_type is null then
        raise exception 'masking policy "%" does not exist', policy_name using errcode = '42704';
    end if;
    if to_whom <> '' and not exists (select from pg_catalog.pg_roles where rolname = to_whom)
        or exists (select from standin.user_groups where name = to_whom)
    then
        raise exception 'user or role "%" does not exist', to_whom using errcode = '42704';
    end if;
    if exists (
        select from standin.masking_attachments
        where relation = target_oid and column_name = masked_column
            and (policy <> policy_name and priority = with_priority
                or policy <> policy_name and grantee is not distinct from nullif(to_whom, '')
                or policy = policy_name and priority = with_priority and grantee is not distinct from nullif(to_whom, ''))
    ) then
        raise exception 'a masking policy is already attached to column "%" of % with same priority or for same grantee',
            masked_column, target using errcode = '42710';
    end if;
    select format_type(atttypid, atttypmod) into column_type
    from pg_catalog.pg_attribute where attrelid = target_oid and attname = masked_column;
    -- The masked value must fit into the column. A length is compared if both are varchar.
    if regexp_replace(policy_type, '\(.*', '') <> regexp_replace(column_type, '\(.*', '')
        or coalesce(substring(policy_type from '\((\d+)\)')::int, 65535)
            > coalesce(substring(column_type from '\((\d+)\)')::int, 65535)
    then
        raise exception 'masking policy "%" returns %, which is incompatible with column "%" of type %',
            policy_name, policy_type, masked_column, column_type using errcode = '42804';
    end if;
    insert into standin.masking_attachments (policy, relation, column_name, grantee, priority)
    values (policy_name, target_oid, masked_column, nullif(to_whom, ''), with_priority);
end $$;

create function standin.detach_masking_policy(policy_name text, target text, masked_column text, from_whom text)
returns void language plpgsql security definer as $$
begin
    perform standin.check_security_administrator();
    delete from standin.masking_attachments
    where policy = policy_name and relation = standin.maskable(target, masked_column) and column_name = masked_column
        and grantee is not distinct from nullif(from_whom, '');
    if not found then
        raise exception 'masking policy "%" is not attached', policy_name using errcode = '42704';
    end if;
end $$;

-- A dropped relation or column loses its attachments.
create function standin.on_drop() returns event_trigger language plpgsql security definer as $$
begin
    delete from standin.masking_attachments as attachments
    using pg_event_trigger_dropped_objects() as dropped
    where dropped.classid = 'pg_class'::regclass and attachments.relation = dropped.objid
        and (dropped.objsubid = 0 or attachments.column_name::text = dropped.address_names[3]);
end $$;
create event trigger standin_drop on sql_drop execute function standin.on_drop();

-- The columns of a relation in their order, as JSON, with the expression, its input and the type of each column that
-- is masked for the user; null if no policy applies to the user. The policy with the highest priority applies.
create function standin.masked_columns(target oid) returns text language sql stable as $$
    with applicable as (
        select distinct on (attachments.column_name) attachments.column_name, policies.*
        from standin.masking_attachments as attachments
        inner join standin.masking_policies as policies on policies.name = attachments.policy
        where attachments.relation = target and (
            attachments.grantee is null or attachments.grantee = current_user
            or not (select rolsuper from pg_catalog.pg_roles where rolname = current_user)
            and pg_has_role(current_user, attachments.grantee, 'member'))
        order by attachments.column_name, attachments.priority desc
    )
    select json_agg(
        json_build_array(attname, applicable.expression, applicable.input_name, format_type(atttypid, atttypmod))
        order by attnum)::text
    from pg_catalog.pg_attribute left join applicable on applicable.column_name = attname
    where attrelid = target and attnum > 0 and not attisdropped
    having count(applicable.name) > 0
$$;

-- Resolves names for `reader`. If `reader` is empty, the names are read by the session's user. The kinds of rows:
-- `view`: a late-binding view, with its query;
-- `external`: an external table, with its id;
-- `bound`: a view that PostgreSQL reads itself, with its columns;
-- `owner_only`: a relation that the owner of a view may read and the user may not, with its columns;
-- `columns`: the columns of a relation and their types as JSON. Late-binding views have no such row;
-- `masked`: a relation of which a masking policy hides columns from the user, with its columns
-- as JSON.
create function standin.resolve(names text[], reader text) returns table (
    name text, kind text, body text, is_allowed bool, relation text, owner text
) language sql stable as $$
    with found as (
        select named.name, classes.oid, classes.relnamespace, classes.relname, classes.relkind,
            pg_get_userbyid(classes.relowner)::text as owner,
            coalesce(nullif(reader, ''), current_user)::name as reading
        from unnest(names) as named (name)
        inner join pg_catalog.pg_class as classes on classes.oid = to_regclass(named.name)
    )
    select found.name, 'view', views.body,
        has_table_privilege(found.reading, views.oid, 'select')
        and has_schema_privilege(found.reading, found.relnamespace, 'usage'),
        found.relname::text, found.owner
    from found
    inner join standin.late_binding_views as views on views.oid = found.oid
    union all
    select named.name, 'external', external_tables.id::text,
        has_schema_privilege(external_tables.schema_name::text, 'usage'),
        external_tables.schema_name || '.' || external_tables.table_name, null
    from unnest(names) as named (name)
    inner join standin.external_tables
        on parse_ident(named.name) in (
            array[external_tables.schema_name::text, external_tables.table_name::text],
            array[current_database()::text, external_tables.schema_name::text, external_tables.table_name::text])
    union all
    select found.name, case when found.relkind in ('v', 'm') and reader = '' then 'bound' else 'owner_only' end,
        (
            select string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum)
            from pg_catalog.pg_attribute where attrelid = found.oid and attnum > 0 and not attisdropped
        ),
        true, found.relname::text, null
    from found
    where not exists (select from standin.late_binding_views as views where views.oid = found.oid)
        and not exists (
            select from standin.external_schemas
            where external_schemas.name = (select nspname from pg_catalog.pg_namespace where oid = found.relnamespace))
        and case
            when reader = '' then found.relkind in ('v', 'm')
            else found.relkind in ('r', 'v', 'm', 'p')
                and not (has_table_privilege(found.oid, 'select') and has_schema_privilege(found.relnamespace, 'usage'))
                and has_table_privilege(reader, found.oid, 'select')
                and has_schema_privilege(reader, found.relnamespace, 'usage')
        end
    union all
    select found.name, 'columns',
        json_object_agg(attributes.attname, format_type(attributes.atttypid, attributes.atttypmod))::text, true, '', null
    from found
    inner join pg_catalog.pg_attribute as attributes on attributes.attrelid = found.oid
    where attributes.attnum > 0 and not attributes.attisdropped
        and not exists (select from standin.late_binding_views as views where views.oid = found.oid)
    group by 1
    union all
    select found.name, 'masked', standin.masked_columns(found.oid), true, found.relname::text, null
    from found
    where standin.masked_columns(found.oid) is not null
$$;

-- Returns the rows of a table with the rights of a late-binding view's owner, for a user who may read only the view.
create function standin.read_as(reader text, source text) returns setof record
language plpgsql stable security definer as $$
begin
    if not has_table_privilege(reader, source, 'select') then
        raise exception 'permission denied for relation %', source using errcode = '42501';
    end if;
    return query execute 'select * from ' || source;
end $$;

create function standin.last_modified(relation oid) returns timestamp language plpgsql as $$
declare
    changed timestamptz;
begin
    execute format('select max(pg_xact_commit_timestamp(xmin)) from %s', relation::regclass) into changed;
    return changed at time zone 'UTC';
exception when others then
    return null;
end $$;

-- Views that replace PostgreSQL's catalogue -----------------------------------------------------------

create view standin_catalog.relations as
select
    classes.oid, namespaces.nspname, classes.relname, classes.relkind, classes.relowner, classes.reltuples,
    classes.relacl, pg_get_userbyid(classes.relowner) as owner, obj_description(classes.oid, 'pg_class') as remarks,
    case when classes.relkind in ('v', 'm') then 'VIEW' else 'TABLE' end as table_type,
    case
        when views.oid is not null then 'LATE BINDING VIEW'
        when classes.relkind = 'm' then 'MATERIALIZED VIEW'
        when classes.relkind = 'v' then 'REGULAR VIEW'
        else 'REGULAR TABLE'
    end as subtype,
    views.oid is null or views.has_columns as has_columns
from pg_catalog.pg_class as classes
inner join pg_catalog.pg_namespace as namespaces on namespaces.oid = classes.relnamespace
left join standin.late_binding_views as views on views.oid = classes.oid
where
    classes.relkind in ('r', 'v', 'm')
    and namespaces.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
    and namespaces.nspname not like 'pg\_t%' and namespaces.nspname not like 'standin%'
    and not exists (select from standin.external_schemas where external_schemas.name = namespaces.nspname);

create function standin.columns_of(relation oid) returns table (column_name name, ordinal int, data_type text, not_null bool)
language sql stable as $$
    select attname, attnum::int, format_type(atttypid, atttypmod), attnotnull from pg_catalog.pg_attribute
    where attrelid = relation and attnum > 0 and not attisdropped
$$;

create view standin_catalog.pg_attribute as
select attributes.*,
    coalesce(keys.distkey = attributes.attname, false) as attisdistkey,
    coalesce(array_position(keys.sortkeys, attributes.attname), 0)::int as attsortkeyord
from pg_catalog.pg_attribute as attributes
left join standin.table_attributes as keys on keys.oid = attributes.attrelid
where
    not exists (select from standin.late_binding_views as views where views.oid = attributes.attrelid)
    and not exists (
        select from pg_catalog.pg_class as classes
        inner join pg_catalog.pg_namespace as namespaces on namespaces.oid = classes.relnamespace
        where classes.oid = attributes.attrelid
            and (namespaces.nspname like 'standin%'
                or namespaces.nspname in (select name from standin.external_schemas))
    );
create view standin_catalog.pg_class as
select oid, relname, relnamespace, reltype, relowner, relam, reltuples, relpages,
    case when relkind = 'm' then 'v'::"char" else relkind end as relkind, relacl, relhasindex
from pg_catalog.pg_class
where relnamespace not in (
    select oid from pg_catalog.pg_namespace
    where nspname like 'standin%' or nspname in (select name from standin.external_schemas));
create view standin_catalog.pg_namespace as
select * from pg_catalog.pg_namespace where nspname not like 'standin%';
create view standin_catalog.pg_views as
select schemaname, viewname, viewowner, coalesce(
    (select views.body || ' with no schema binding' from standin.late_binding_views as views
    where views.oid = to_regclass(format('%I.%I', schemaname, viewname))), definition) as definition
from pg_catalog.pg_views
where schemaname not like 'standin%' and schemaname not in (select name from standin.external_schemas)
union all
select namespaces.nspname, classes.relname, pg_get_userbyid(classes.relowner),
    'create materialized view ' || classes.relname || ' as ' || views.query
from standin.materialized_views as views
inner join pg_catalog.pg_class as classes on classes.oid = views.oid
inner join pg_catalog.pg_namespace as namespaces on namespaces.oid = classes.relnamespace;
create view standin_catalog.is_columns as
select * from information_schema.columns
where
    table_schema not like 'standin%'
    and not exists (
        select from standin.late_binding_views as views
        where views.oid = to_regclass(format('%I.%I', table_schema, table_name)))
    and table_schema not in (select name from standin.external_schemas);
create view standin_catalog.is_tables as
select * from information_schema.tables
where table_schema not like 'standin%' and table_schema not in (select name from standin.external_schemas);
create view standin_catalog.is_views as
select * from information_schema.views
where table_schema not like 'standin%' and table_schema not in (select name from standin.external_schemas)
union all
select current_database(), schemaname, viewname, definition, 'NONE', 'NO', 'NO', 'NO', 'NO', 'NO'
from standin_catalog.pg_views where definition like 'create materialized view%';
create view standin_catalog.is_schemata as
select * from information_schema.schemata where schema_name not like 'standin%';

create function pg_catalog.pg_get_late_binding_view_cols() returns setof record language sql stable as $$
    select relations.nspname, relations.relname, columns.column_name, columns.data_type::varchar, columns.ordinal
    from standin_catalog.relations, lateral standin.columns_of(relations.oid) as columns
    where relations.subtype = 'LATE BINDING VIEW' and relations.has_columns
$$;

-- Redshift's own views ---------------------------------------------------------------------------------

create view pg_catalog.svv_external_schemas as
select schemas.oid as esoid, 1 as eskind, external_schemas.name as schemaname, schemas.nspowner::int as esowner,
    external_schemas.catalog_database as databasename, external_schemas.options as esoptions
from standin.external_schemas
inner join pg_catalog.pg_namespace as schemas on schemas.nspname = external_schemas.name
where has_schema_privilege(external_schemas.name::text, 'usage');

create view standin.visible_external_tables as
select * from standin.external_tables where has_schema_privilege(schema_name::text, 'usage');
grant select on standin.visible_external_tables to public;

create view pg_catalog.svv_external_tables as
select current_database()::text as redshift_database_name, schema_name::text as schemaname, table_name::text as tablename,
    'EXTERNAL'::text as tabletype, location, input_format, null::text as output_format, serde as serialization_lib,
    serde_properties::text as serde_parameters, 0 as compressed, properties::text as parameters
from standin.visible_external_tables;
create view pg_catalog.svv_external_columns as
select current_database()::text as redshift_database_name, schema_name::text as schemaname, table_name::text as tablename,
    named ->> 'name' as columnname, named ->> 'type' as external_type, place::int as columnnum, 0 as part_key, 'true'::text as is_nullable
from standin.visible_external_tables, jsonb_array_elements(columns) with ordinality as each (named, place)
union all
select current_database()::text, schema_name::text, table_name::text, named ->> 'name', named ->> 'type',
    (jsonb_array_length(columns) + place)::int, place::int, 'true'
from standin.visible_external_tables, jsonb_array_elements(partition_columns) with ordinality as each (named, place);
create view pg_catalog.svv_external_partitions as
select tables.schema_name::text as schemaname, tables.table_name::text as tablename,
    to_json(partitions.partition_values)::text as "values", partitions.location,
    tables.input_format, null::text as output_format, tables.serde as serialization_lib,
    tables.serde_properties::text as serde_parameters, 0 as compressed, tables.properties::text as parameters
from standin.external_partitions as partitions
inner join standin.visible_external_tables as tables on tables.id = partitions.table_id;

create view pg_catalog.svv_table_info as
select current_database()::text as "database", relations.nspname::text as "schema", relations.oid::int as table_id,
    relations.relname::text as "table", case when keys.encodings is null then 'Y, AUTO(ENCODE)' else 'Y' end::text as encoded,
    case when keys.distkey is not null then 'KEY(' || keys.distkey || ')' else coalesce(keys.diststyle, 'AUTO(ALL)') end::text as diststyle,
    case when keys.sortstyle = 'interleaved' then 'INTERLEAVED' else coalesce(keys.sortkeys[1]::text, 'AUTO(SORTKEY)') end::text as sortkey1,
    256::int as max_varchar, null::text as sortkey1_enc, coalesce(cardinality(keys.sortkeys), 0) as sortkey_num,
    greatest(1, pg_relation_size(relations.oid) / 1048576)::bigint as size, 0.0001::numeric(10, 4) as pct_used, false as empty,
    0.00::numeric(5, 2) as unsorted, 0.00::numeric(5, 2) as stats_off, greatest(0, relations.reltuples)::numeric(38, 0) as tbl_rows,
    null::numeric(19, 2) as skew_sortkey1, 1.00::numeric(19, 2) as skew_rows,
    greatest(0, relations.reltuples)::numeric(38, 0) as estimated_visible_rows
from standin_catalog.relations
left join standin.table_attributes as keys on keys.oid = relations.oid
where relations.relkind in ('r', 'm');
create view pg_catalog.svv_mv_info as
select current_database()::text as database_name, relations.nspname::text as schema_name, relations.owner::text as user_name,
    relations.relname::text as name, false as is_stale, 1 as state,
    case when views.autorefresh then 't' else 'f' end::char(1) as autorefresh, null::text as autorewrite
from standin.materialized_views as views inner join standin_catalog.relations on relations.oid = views.oid;
create view pg_catalog.svv_redshift_schemas as
select current_database()::text as database_name, nspname::text as schema_name, nspowner::int as schema_owner,
    'local'::text as schema_type, nspacl::text as schema_acl, null::text as schema_option
from pg_catalog.pg_namespace
where nspname not like 'standin%' and nspname not in (select name from standin.external_schemas);
create view pg_catalog.svv_all_schemas as
select database_name, schema_name, schema_owner, schema_type, schema_acl, null::text as source_database, schema_option
from pg_catalog.svv_redshift_schemas
union all
select current_database()::text, schemaname::text, esowner, 'external', null, databasename, esoptions from pg_catalog.svv_external_schemas;
create view pg_catalog.svv_redshift_tables as
select current_database()::text as database_name, nspname::text as schema_name, relname::text as table_name,
    table_type::text, relacl::text as table_acl, remarks, owner::text as table_owner
from standin_catalog.relations;
create view pg_catalog.svv_redshift_columns as
select current_database()::text as database_name, relations.nspname::text as schema_name, relations.relname::text as table_name,
    columns.column_name::text, columns.ordinal as ordinal_position, columns.data_type,
    null::text as column_default, case when columns.not_null then 'NO' else 'YES' end::text as is_nullable, 'none'::text as encoding,
    coalesce(keys.distkey = columns.column_name, false) as distkey,
    coalesce(array_position(keys.sortkeys, columns.column_name), 0) as sortkey, null::text as column_acl,
    col_description(relations.oid, columns.ordinal) as remarks
from standin_catalog.relations
left join standin.table_attributes as keys on keys.oid = relations.oid, lateral standin.columns_of(relations.oid) as columns
where relations.has_columns;
create view pg_catalog.svv_all_columns as select * from pg_catalog.svv_redshift_columns;
create view pg_catalog.svv_tables as
select current_database()::text as table_catalog, nspname::text as table_schema, relname::text as table_name,
    case table_type when 'TABLE' then 'BASE TABLE' else 'VIEW' end::text as table_type, remarks
from standin_catalog.relations
union all
select current_database()::text, schema_name::text, table_name::text, 'EXTERNAL TABLE', null from standin.visible_external_tables;
create view pg_catalog.svv_columns as
select current_database()::text as table_catalog, relations.nspname::text as table_schema, relations.relname::text as table_name,
    columns.column_name::text, columns.ordinal as ordinal_position, columns.data_type
from standin_catalog.relations, lateral standin.columns_of(relations.oid) as columns where relations.has_columns
union all
select redshift_database_name, schemaname, tablename, columnname, columnnum, external_type from pg_catalog.svv_external_columns;
create view pg_catalog.pg_table_def as
select relations.nspname as schemaname, relations.relname as tablename, columns.column_name as "column",
    columns.data_type as type, coalesce(keys.encodings ->> columns.column_name::text, 'none') as encoding,
    coalesce(keys.distkey = columns.column_name, false) as distkey,
    coalesce(array_position(keys.sortkeys, columns.column_name), 0) as sortkey, columns.not_null as "notnull"
from standin_catalog.relations
left join standin.table_attributes as keys on keys.oid = relations.oid, lateral standin.columns_of(relations.oid) as columns
where relations.relkind = 'r';

create view standin_catalog.privileges as
select relations.nspname, relations.relname, relations.relowner, acl.grantor, acl.grantee, acl.privilege_type, acl.is_grantable,
    case when acl.grantee = 0 then 'public' else pg_get_userbyid(acl.grantee) end::text as identity_name,
    case
        when acl.grantee = 0 then 'public'
        when grantees.rolcanlogin then 'user'
        when exists (select from standin.user_groups where name = grantees.rolname) then 'group'
        else 'role'
    end::text as identity_type
from standin_catalog.relations, lateral aclexplode(relations.relacl) as acl
left join pg_catalog.pg_roles as grantees on grantees.oid = acl.grantee
where acl.grantee <> relations.relowner;
create view pg_catalog.svv_relation_privileges as
select nspname::text as namespace_name, relname::text as relation_name, privilege_type,
    grantee::int as identity_id, identity_name, identity_type, is_grantable as admin_option
from standin_catalog.privileges;
create view pg_catalog.svv_schema_privileges as
select schemas.nspname::text as namespace_name, lower(acl.privilege_type) as privilege_type, acl.grantee::int as identity_id,
    case when acl.grantee = 0 then 'public' else pg_get_userbyid(acl.grantee) end::text as identity_name,
    case
        when acl.grantee = 0 then 'public'
        when grantees.rolcanlogin then 'user'
        when exists (select from standin.user_groups where name = grantees.rolname) then 'group'
        else 'role'
    end::text as identity_type, acl.is_grantable as admin_option
from pg_catalog.pg_namespace as schemas, lateral aclexplode(schemas.nspacl) as acl
left join pg_catalog.pg_roles as grantees on grantees.oid = acl.grantee
where schemas.nspname not like 'standin%' and acl.grantee <> schemas.nspowner;

-- Only a security administrator sees rows of these two views.
create view pg_catalog.svv_masking_policy as
select current_database()::text as policy_database, name::text as policy_name,
    jsonb_build_array(jsonb_build_object('colname', input_name, 'type', input_type))::text as input_columns,
    jsonb_build_array(jsonb_build_object('expr', expression, 'type', output_type))::text as policy_expression,
    modified_by::text as policy_modified_by, modified as policy_modified_time
from standin.masking_policies where standin.is_security_administrator();
create view pg_catalog.svv_attached_masking_policy as
select attachments.policy::text as policy_name, relations.nspname::text as schema_name, relations.relname::text as table_name,
    lower(relations.table_type)::text as table_type, attachments.grantor::text as grantor,
    coalesce(attachments.grantee::text, 'public') as grantee,
    case when attachments.grantee is null then 'public' when grantees.rolcanlogin then 'user' else 'role' end::text as grantee_type,
    attachments.priority, jsonb_build_array(attachments.column_name)::text as input_columns,
    jsonb_build_array(attachments.column_name)::text as output_columns, true as is_masking_datashare_on
from standin.masking_attachments as attachments
inner join standin_catalog.relations on relations.oid = attachments.relation
left join pg_catalog.pg_roles as grantees on grantees.rolname = attachments.grantee
where standin.is_security_administrator();

-- Log views: superusers see all rows, other users their own -----------------------------------------------

create view pg_catalog.sys_query_history as
select user_id, query_id, query_label::char(320) as query_label, transaction_id, session_id, database_name::char(128) as database_name,
    query_type::char(32) as query_type, status::char(10) as status, result_cache_hit, start_time, end_time,
    (extract(epoch from end_time - start_time) * 1000000)::bigint as elapsed_time, 0::bigint as queue_time,
    (extract(epoch from end_time - start_time) * 1000000)::bigint as execution_time, error_message::char(512) as error_message,
    returned_rows, null::bigint as returned_bytes, left(query_text, 4000)::char(4000) as query_text,
    '1.0.0'::char(256) as redshift_version, 'off'::char(150) as usage_limit, 'Compute-optimized'::varchar(255) as compute_type,
    0::bigint as compile_time, 0::bigint as planning_time, 0::bigint as lock_wait_time, username::char(255) as username
from standin.query_history
where username = current_user or (select rolsuper from pg_catalog.pg_roles where rolname = current_user);
create view pg_catalog.sys_external_query_detail as
select scans.user_id, scans.query_id, scans.transaction_id, 0 as child_query_sequence, 0 as segment_id, 'S3'::char(32) as source_type,
    scans.start_time, scans.end_time, (extract(epoch from scans.end_time - scans.start_time) * 1000000)::bigint as duration,
    scans.total_partitions, scans.qualified_partitions, scans.scanned_files, scans.scanned_rows as returned_rows,
    scans.scanned_bytes as returned_bytes, scans.file_format, scans.file_location, null::text as external_query_text,
    null::text as warning_message, (scans.schema_name || '.' || scans.table_name)::text as table_name
from standin.external_scans as scans inner join pg_catalog.sys_query_history using (query_id);
create view pg_catalog.stl_query as
select user_id as userid, query_id::int as query, coalesce(query_label, 'default')::char(320) as label, transaction_id as xid,
    session_id as pid, database_name as database, query_text as querytxt, start_time as starttime, end_time as endtime,
    (status <> 'success')::int as aborted, 0 as insert_pristine, 0 as concurrency_scaling_status
from pg_catalog.sys_query_history where query_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'CTAS', 'COPY', 'UNLOAD');
create view pg_catalog.svl_qlog as
select userid, query, xid, pid, starttime, endtime, (extract(epoch from endtime - starttime) * 1000000)::bigint as elapsed,
    aborted, label, left(querytxt, 60)::char(60) as substring, null::int as source_query, null::text as concurrency_scaling_status_txt, 0 as from_sp_call
from pg_catalog.stl_query;
create view pg_catalog.svl_s3query_summary as
select scans.user_id as userid, scans.query_id::int as query, scans.transaction_id as xid, 0 as pid, 0 as segment, 0 as step,
    scans.start_time as starttime, scans.end_time as endtime, (extract(epoch from scans.end_time - scans.start_time) * 1000000)::bigint as elapsed,
    0 as aborted, ('S3 Scan ' || scans.schema_name || '_' || scans.table_name)::char(128) as external_table_name,
    scans.file_format::char(16) as file_format, 't'::char(1) as is_partitioned, 'f'::char(1) as is_rrscan, 'f'::char(1) as is_nested,
    scans.scanned_rows as s3_scanned_rows, scans.scanned_bytes as s3_scanned_bytes, scans.scanned_rows as s3query_returned_rows,
    scans.scanned_bytes as s3query_returned_bytes, scans.scanned_files as files, scans.scanned_files::int as files_max, scans.scanned_files::int as files_avg,
    scans.total_partitions, scans.qualified_partitions
from standin.external_scans as scans inner join pg_catalog.sys_query_history using (query_id);
create view pg_catalog.sys_query_detail as
select oid::int as table_id, 'insert'::text as step_name, standin.last_modified(oid) as start_time
from standin_catalog.relations where relkind = 'r';

-- The results of SHOW --------------------------------------------------------------------------------

create function standin.show_tables(in_schema text) returns table (
    database_name text, schema_name text, table_name text, table_type text, table_acl text, remarks text,
    owner text, last_altered_time timestamp, last_modified_time timestamp, dist_style text, table_subtype text
) language sql stable as $$
    select current_database()::text, nspname::text, relname::text, table_type, relacl::text, remarks, owner::text,
        null::timestamp, case when relkind = 'r' then standin.last_modified(relations.oid) end, keys.diststyle, subtype
    from standin_catalog.relations left join standin.table_attributes as keys on keys.oid = relations.oid
    where nspname = in_schema
$$;
create function standin.show_columns(in_schema text, of_table text) returns table (
    database_name text, schema_name text, table_name text, column_name text, ordinal_position int, column_default text,
    is_nullable text, data_type text, character_maximum_length int, numeric_precision int, numeric_scale int,
    remarks text, sort_key_type text, sort_key int, dist_key int, encoding text
) language sql stable as $$
    select table_catalog::text, table_schema::text, table_name::text, column_name::text, ordinal_position::int,
        column_default::text, is_nullable::text, data_type::text, character_maximum_length::int, numeric_precision::int,
        numeric_scale::int, null::text, null::text, 0, 0, 'none'::text
    from information_schema.columns
    where table_schema = in_schema and table_name = of_table order by ordinal_position
$$;
create function standin.show_schemas(pattern text) returns table (
    database_name text, schema_name text, schema_owner text, schema_type text, schema_acl text, source_database text, schema_option text
) language sql stable as $$
    select database_name, schema_name, schema_owner::text, schema_type, schema_acl, source_database, schema_option
    from pg_catalog.svv_all_schemas where schema_name like coalesce(pattern, '%')
$$;
create function standin.show_grants(in_schema text, of_table text) returns table (
    database_name text, schema_name text, object_name text, object_type text, privilege_type text, identity_name text,
    identity_type text, admin_option boolean, privilege_scope text, grantor_name text
) language sql stable as $$
    select current_database()::text, nspname::text, relname::text, 'TABLE'::text, privilege_type,
        case when identity_type = 'group' then '/' || identity_name else identity_name end,
        case when identity_type = 'group' then 'role' else identity_type end,
        is_grantable, 'TABLE'::text, pg_get_userbyid(grantor)::text
    from standin_catalog.privileges where nspname = in_schema and relname = of_table
$$;

grant select on all tables in schema standin_catalog, pg_catalog to public;
revoke select on pg_catalog.pg_authid, pg_catalog.pg_statistic, pg_catalog.pg_user_mapping, pg_catalog.pg_largeobject from public;
-- Redshift shows this view to superusers and to users to whom it is granted.
revoke select on pg_catalog.svv_table_info from public;
