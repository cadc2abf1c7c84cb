select cast('2026-09-01' as date) as day
