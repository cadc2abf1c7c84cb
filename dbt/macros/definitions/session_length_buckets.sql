{% macro session_length_buckets() %}
    {{ return([
        {'name': '0-9 s', 'from': 0, 'below': 10},
        {'name': '10-59 s', 'from': 10, 'below': 60},
        {'name': '1-3 min', 'from': 60, 'below': 180},
        {'name': '3-10 min', 'from': 180, 'below': 600},
        {'name': '10-30 min', 'from': 600, 'below': 1800},
        {'name': '30-60 min', 'from': 1800, 'below': 3600},
        {'name': '60 min and longer', 'from': 3600, 'below': none},
    ]) }}
{% endmacro %}
