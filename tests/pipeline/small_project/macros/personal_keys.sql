{% macro personal_keys() %}{{ return(['player_id']) }}{% endmacro %}
