//! Row-level security of every table that belongs to partners, asked with plain SQL as the role that services run as.

use std::collections::BTreeSet;

use contracts::id::PartnerId;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use store::Migrations;
use testkit::{Engine, Setup, TestDb};

/// Tables without a policy, and why. Whoever adds a table gives it a policy in a migration of its own, or a line here.
const OPEN: &[(&str, &[(&str, &str)])] = &[
    (
        "",
        &[
            ("feed_epoch", "one word, about nobody"),
            (
                "feed_head",
                "positions alone: every unit that publishes counts up its own and the service's",
            ),
            (
                "audit",
                "every unit adds to it, none that a partner calls reads it",
            ),
            ("destroyed_key", "names of keys that are gone"),
            ("partner_directory_cursor", "a position, about nobody"),
        ],
    ),
    (
        "catalog",
        &[
            (
                "product",
                "the retailer's goods; partners are shown those of their listings by the query",
            ),
            ("variant", "as product"),
            (
                "product_source",
                "the retailer's, and no partner's unit reads it",
            ),
            ("variant_source", "as product_source"),
            ("rulebook", "a lock, about nobody"),
            ("legal_entity", "the retailer's, and open to partners"),
            (
                "brand_agreement",
                "the retailer's, with brands; rules that hold for all partners",
            ),
            ("category_rule", "rules that hold for all partners"),
            (
                "refresh",
                "names of things to look at again; a partner's step may leave one",
            ),
        ],
    ),
    (
        "room",
        &[
            ("mirror_head", "a position, about nobody"),
            ("product", "the retailer's goods"),
            ("host", "people of the retailer, shown wherever a room is"),
            (
                "room",
                "shown at the outlets of many partners; room_outlet says which, and has a policy",
            ),
            ("room_host", "as room"),
            ("room_brand", "as room"),
            (
                "showcase_item",
                "as room; what a partner sells of it stands in listing, which has a policy",
            ),
            ("room_log", "as room"),
            (
                "room_event",
                "as room; an event that is for some outlets is told at those alone",
            ),
            ("room_counter", "totals of a room"),
            ("counter_writer", "about nobody"),
            ("channel", "as room; channel_outlet has a policy"),
            ("channel_head", "as channel"),
            ("programme_head", "about nobody"),
            ("slot", "the retailer's programme"),
            ("slot_resource", "as slot"),
            ("occupancy", "as slot"),
            ("on_air_creator", "which creators are live"),
            ("creator", "payees of the retailer"),
            ("follow_count", "totals over all partners"),
            ("segment", "as room; shown_price has a policy"),
        ],
    ),
    (
        "order",
        &[
            ("product", "a version, about nobody"),
            ("variant", "the retailer's goods"),
            (
                "allotment",
                "one pool sold through many partners; a partner is told its own listing's part",
            ),
            (
                "allotment_movement",
                "as allotment, and no partner's unit reads it",
            ),
            ("drop_sale", "as allotment"),
            (
                "drop_listing",
                "counters under the lock of the allotment, in the hottest statements; found by listing",
            ),
            ("drop_quota", "as drop_sale"),
            (
                "sale_stop",
                "the retailer's word on goods, listings and allotments",
            ),
            ("exchange_rate", "the retailer's"),
        ],
    ),
    (
        "fulfillment",
        &[
            (
                "order_arrival",
                "locks by order id: one has to be there before it is known whose the order is",
            ),
            (
                "care_topic",
                "incidents of the retailer's goods, over cases of many partners",
            ),
            ("care_queue", "a lock, about nobody"),
        ],
    ),
];

fn services() -> [(&'static str, Migrations); 4] {
    [
        ("catalog", catalog::migrations()),
        ("room", room::migrations()),
        ("order", order::migrations()),
        ("fulfillment", fulfillment::migrations()),
    ]
}

fn on_postgres<F: Future<Output = ()>>(migrations: Migrations, test: impl FnOnce(TestDb) -> F) {
    testkit::run(Engine::Postgres, Setup::new().migrations(migrations), test);
}

async fn connect(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().expect("a URL");
    options.connect().await.expect("a connection")
}

async fn run(connection: &mut PgConnection, text: &str) -> u64 {
    let text = AssertSqlSafe(text.to_owned());
    let done = connection.execute(text).await;
    done.unwrap_or_else(|error| panic!("{error}"))
        .rows_affected()
}

async fn count(connection: &mut PgConnection, table: &str, condition: &str) -> i64 {
    let text = format!("SELECT COUNT(*) FROM {table} WHERE {condition}");
    let (count,): (i64,) = sqlx::query_as(AssertSqlSafe(text))
        .fetch_one(connection)
        .await
        .expect("a count");
    count
}

/// A table, whether policies hold for it and its owner too, and its columns with their types.
struct Table {
    name: String,
    guarded: bool,
    columns: Vec<(String, String)>,
}

impl Table {
    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|(name, _)| name == column)
    }
}

async fn tables(connection: &mut PgConnection) -> Vec<Table> {
    let found: Vec<(String, bool)> = sqlx::query_as(
        "SELECT relname::TEXT, relrowsecurity AND relforcerowsecurity FROM pg_class \
         WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::REGNAMESPACE \
         AND NOT starts_with(relname::TEXT, '_migration') ORDER BY relname",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("the tables");
    let mut tables = Vec::new();
    for (name, guarded) in found {
        let columns = sqlx::query_as(
            "SELECT column_name::TEXT, data_type::TEXT FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position",
        )
        .bind(&name)
        .fetch_all(&mut *connection)
        .await
        .expect("the columns");
        tables.push(Table {
            name,
            guarded,
            columns,
        });
    }
    tables
}

#[test]
fn tenancy_every_table_has_a_policy_or_a_reason() {
    for (service, migrations) in services() {
        on_postgres(migrations, |t| async move {
            let mut owner = connect(t.owner_url()).await;
            let open: BTreeSet<&str> = OPEN
                .iter()
                .filter(|(of, _)| of.is_empty() || *of == service)
                .flat_map(|(_, tables)| tables.iter().map(|(table, _)| *table))
                .collect();
            let mut problems = Vec::new();
            let tables = tables(&mut owner).await;
            for table in &tables {
                let name = &table.name;
                match (table.guarded, open.contains(name.as_str())) {
                    (true, true) => problems.push(format!("{name} has a policy and a reason to have none")),
                    (false, false) => problems.push(format!(
                        "{name} has neither a policy (ENABLE and FORCE, in a migration) nor a reason in OPEN"
                    )),
                    (false, true) if table.has("partner_id") => {
                        problems.push(format!("{name} names a partner and has no policy"));
                    }
                    _ => {}
                }
            }
            for name in open {
                if !tables.iter().any(|table| table.name == name) {
                    problems.push(format!("{name} is given a reason and is not there"));
                }
            }
            assert!(
                problems.is_empty(),
                "{service}:\n- {}",
                problems.join("\n- ")
            );
            owner.close().await.expect("closed");
        });
    }
}

const A: u128 = 0xa;
const B: u128 = 0xb;

fn partner(number: u128) -> String {
    PartnerId::from_uuid(number).to_string()
}

/// A row of a partner: every text names its column and its partner, so that rows that belong together find each other.
fn row(table: &Table, number: u128) -> String {
    let partner = partner(number);
    let values = table.columns.iter().map(|(column, kind)| {
        match (table.name.as_str(), column.as_str(), kind.as_str()) {
            (_, "partner_id", _) => format!("'{partner}'"),
            ("idempotency", "scope", _) => format!("'partner|{partner}'"),
            (_, _, "text") => format!("'{column} of {number}'"),
            (_, _, "boolean") => "false".to_owned(),
            (_, _, "bytea") => "''".to_owned(),
            _ => format!("{number}"),
        }
    });
    let values: Vec<String> = values.collect();
    format!("INSERT INTO {} VALUES ({})", table.name, values.join(", "))
}

/// One row of A and one of B in every table with a policy, whatever else a row would have to hold.
async fn furnish(owner: &mut PgConnection, tables: &[Table]) {
    let constraints: Vec<(String, String)> = sqlx::query_as(
        "SELECT conrelid::REGCLASS::TEXT, quote_ident(conname) FROM pg_constraint \
         WHERE contype IN ('c', 'f') AND connamespace = current_schema()::REGNAMESPACE ORDER BY contype DESC",
    )
    .fetch_all(&mut *owner)
    .await
    .expect("the constraints");
    for (table, constraint) in constraints {
        run(
            owner,
            &format!("ALTER TABLE {table} DROP CONSTRAINT {constraint}"),
        )
        .await;
    }
    for table in tables {
        run(owner, &format!("DELETE FROM {}", table.name)).await;
        for number in [A, B] {
            run(owner, &row(table, number)).await;
        }
    }
}

/// The suite's own tables: no partner's unit has anything there.
const SUITES: &[&str] = &[
    "feed_cursor",
    "feed_parked",
    "ledger_backlog",
    "money_decision",
];
/// Locks of nobody's, for whoever has a tenant.
const ANYBODYS: &[&str] = &["care_opening"];

#[test]
fn tenancy_holds_for_every_statement_in_every_table_of_partners() {
    for (service, migrations) in services() {
        on_postgres(migrations, |t| async move {
            let mut owner = connect(t.owner_url()).await;
            // What never changes is not to be told apart from what is not seen.
            run(&mut owner, "SET session_replication_role = replica").await;
            let tables: Vec<Table> = tables(&mut owner).await;
            let guarded = tables
                .into_iter()
                .filter(|table| table.guarded && !ANYBODYS.contains(&table.name.as_str()));
            let guarded: Vec<Table> = guarded.collect();
            assert!(guarded.len() > 10, "{service}: {}", guarded.len());
            furnish(&mut owner, &guarded).await;
            for table in &guarded {
                let text = format!("ALTER TABLE {} DISABLE TRIGGER USER", table.name);
                run(&mut owner, &text).await;
            }
            let mut own = connect(&t.config().url).await;
            for (setting, seen) in [
                (partner(A), 1),
                (format!("{},{}", partner(A), partner(0xc)), 1),
                (partner(0xc), 0),
                (String::new(), 0),
                (format!("{},{}", partner(A), partner(B)), 2),
                ("*".to_owned(), 2),
            ] {
                for table in &guarded {
                    let name = &table.name;
                    let wide = setting == "*";
                    let seen = if SUITES.contains(&name.as_str()) && !wide {
                        0
                    } else {
                        seen
                    };
                    run(&mut own, "BEGIN").await;
                    run(
                        &mut own,
                        &format!("SELECT set_config('vitrine.partners', '{setting}', true)"),
                    )
                    .await;
                    let what = format!("{service}.{name} for {setting:?}");
                    assert_eq!(count(&mut own, name, "true").await, seen, "{what}: seen");
                    let column = &table.columns[0].0;
                    let update = format!("UPDATE {name} SET {column} = {column}");
                    assert_eq!(
                        run(&mut own, &update).await,
                        seen.unsigned_abs(),
                        "{what}: changed"
                    );
                    let delete = format!("DELETE FROM {name}");
                    assert_eq!(
                        run(&mut own, &delete).await,
                        seen.unsigned_abs(),
                        "{what}: deleted"
                    );
                    run(&mut own, "ROLLBACK").await;
                }
            }
            foreign_rows_are_refused(service, &mut owner, &mut own, &guarded).await;
            own.close().await.expect("closed");
            owner.close().await.expect("closed");
        });
    }
}

/// A writes a row of B, and a row of A that it gives to B.
async fn foreign_rows_are_refused(
    service: &str,
    owner: &mut PgConnection,
    own: &mut PgConnection,
    guarded: &[Table],
) {
    for table in guarded {
        // New lines follow their order in the same unit; see the migration.
        if table.name == "order_line" {
            continue;
        }
        let name = &table.name;
        let theirs = if table.has("partner_id") {
            format!("partner_id = '{}'", partner(B))
        } else {
            "true".to_owned()
        };
        run(owner, &format!("DELETE FROM {name} WHERE {theirs}")).await;
        run(own, "BEGIN").await;
        let a = partner(A);
        run(
            own,
            &format!("SELECT set_config('vitrine.partners', '{a}', true)"),
        )
        .await;
        refused(service, name, own, row(table, B)).await;
        run(own, "ROLLBACK").await;
        // Contact data follows its order, whatever it says of a partner.
        if table.has("partner_id") && name != "contact" {
            run(own, "BEGIN").await;
            run(
                own,
                &format!("SELECT set_config('vitrine.partners', '{a}', true)"),
            )
            .await;
            let text = format!("UPDATE {name} SET partner_id = '{}'", partner(B));
            refused(service, name, own, text).await;
            run(own, "ROLLBACK").await;
        }
        for number in [A, B] {
            let text = row(table, number);
            let _ = owner.execute(AssertSqlSafe(text)).await;
        }
    }
}

/// The policy itself refuses it.
async fn refused(service: &str, table: &str, own: &mut PgConnection, text: String) {
    let answer = own.execute(AssertSqlSafe(text.clone())).await;
    let error = answer.map(|_| text).expect_err(table);
    let error = error.into_database_error().expect("the server's word");
    assert_eq!(
        error.code().as_deref(),
        Some("42501"),
        "{service}.{table}: {error}"
    );
}
