-- Nothing changes here: see the file of the other engine. Both keep the same numbers.

SELECT 1;
