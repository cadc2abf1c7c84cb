{#
    Revenue is limited to 10^11 on both sides, so that no sum of squares overflows
    decimal(38, 8). Retention takes the active days before the exposure as its covariate,
    and conversion and revenue take the revenue before it. A ratio has none.
#}
{% macro experiment_metrics() %}
    {{ return([
        {
            'name': 'retention_1', 'kind': 'rate', 'window_days': 1,
            'numerator': 'case when is_active_on_1 then 1 else 0 end',
            'covariate': 'active_days_before',
        },
        {
            'name': 'retention_7', 'kind': 'rate', 'window_days': 7,
            'numerator': 'case when is_active_on_7 then 1 else 0 end',
            'covariate': 'active_days_before',
        },
        {
            'name': 'conversion', 'kind': 'rate', 'window_days': 7,
            'numerator': 'case when is_payer then 1 else 0 end',
            'covariate': 'revenue_before',
        },
        {
            'name': 'revenue_per_player', 'kind': 'mean', 'window_days': 7,
            'numerator': 'revenue',
            'covariate': 'revenue_before',
        },
        {
            'name': 'revenue_per_payer', 'kind': 'ratio', 'window_days': 7,
            'numerator': 'revenue',
            'denominator': 'case when is_payer then 1 else 0 end',
        },
        {
            'name': 'sessions_per_active_day', 'kind': 'ratio', 'window_days': 7,
            'numerator': 'session_count',
            'denominator': 'active_days',
        },
    ]) }}
{% endmacro %}
