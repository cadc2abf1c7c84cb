{% macro lift_variance(mean, squared_error, control_mean, control_squared_error) -%}
    (
        {{ squared_error }}
        + {{ mean }} / {{ control_mean }}
        * {{ mean }} / {{ control_mean }} * {{ control_squared_error }}
    ) / ({{ control_mean }} * {{ control_mean }})
{%- endmacro %}
