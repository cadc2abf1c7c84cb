{#
    The id of a gap session ends in a digit after its only colon, and the id of a cut
    session ends in a colon and a date. A player can send an explicit id of either form.
    Such an id, and an id that ends in a colon, gets a colon appended. So the ids of the
    three kinds differ, and two ids of one kind differ as their parts do.
#}
{% macro explicit_session_id(session_id) -%}
    case
        when
            {{ session_id }} like 'gap:%'
            or {{ session_id }} like '%:____-__-__'
            or {{ session_id }} like '%:'
            then {{ session_id }} || ':'
        else {{ session_id }}
    end
{%- endmacro %}
