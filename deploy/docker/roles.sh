# Run once, when the database is made: the ordinary role that services run as, which owns nothing. `vitrine migrate` works as
# the owner and gives it what services need.
psql --set ON_ERROR_STOP=1 --set password="$SERVICE_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE vitrine_service LOGIN PASSWORD :'password';
SQL
