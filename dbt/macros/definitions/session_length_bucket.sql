{% macro session_length_bucket(seconds) -%}
    case
        {% for bucket in session_length_buckets() if bucket.below -%}
            when {{ seconds }} < {{ bucket.below }} then {{ loop.index }}
        {% endfor -%}
        else {{ session_length_buckets() | length }}
    end
{%- endmacro %}
