{% macro cohort_segments() %}
    {{ return(['platform', 'country', 'acquisition_channel', 'campaign_id']) }}
{% endmacro %}
