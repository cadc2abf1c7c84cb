{#
    The expansion of Cornish and Fisher about the normal quantile. From 29 degrees of
    freedom on it is right to 2e-8 of its size.
#}
{% macro t_quantile(df) -%}
    {{ polynomial("(1E00 / " ~ df ~ ")", [
        '1.5895340533938225E00', '2.555849679507722E00', '2.8224986157396112E00',
        '2.372271230298562E00', normal_quantile()
    ]) }}
{%- endmacro %}
