{#
    Each column is an expression that ends the mark of personal data in its argument.
    include/site/lineage/personal_data.yml gives the reason for each. dbt compiles this
    query and never runs it, so that column lineage can recognize the macros in compiled
    SQL.
#}
select
    {{ masked('personal_data') }} as masked,
    {{ masked_text('personal_data') }} as masked_text,
    {{ age_band('personal_data') }} as age_band
