{{ config(materialized='ephemeral') }}
select bet_id, amount from {{ ref('stg_bets') }}
