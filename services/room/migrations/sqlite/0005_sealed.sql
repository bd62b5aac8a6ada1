-- What shoppers ask and what they are answered is sealed with the shopper's key, in the columns that held it. The same
-- names stand in the PostgreSQL file.

-- What is still to be sealed.
CREATE INDEX question_plain ON question (question_id) WHERE substr(text, 1, 9) <> 'sealed-1:';
