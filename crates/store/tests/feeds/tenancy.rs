//! Who sees whose rows, however a statement is written.

mod security {
    use std::sync::Arc;

    use sqlx::postgres::{PgConnectOptions, PgConnection};
    use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
    use testkit::{Engine, Op, Setup, TestDb, on_both_engines, op};

    use crate::support::*;
    use futures::future::BoxFuture;
    use kit::caller::Caller;
    use kit::errors::Fault;
    use store::{Tx, sql};

    type Work<T> = Op<fn(&mut Tx) -> BoxFuture<'_, Result<T, Fault>>>;

    /// One entry of each of two partners, and one of nobody.
    async fn furnish(t: &TestDb) {
        let entries: Work<()> = op("furnish", |tx| {
            Box::pin(async move {
                for owner in [Some(1), Some(2), None] {
                    tx.publish(entry(owner, "thing", 1));
                }
                Ok(())
            })
        });
        t.execute(entries).await.expect("furnished");
    }

    /// Somebody forgot whose rows they wanted.
    fn broken() -> Work<Vec<String>> {
        op("broken", |tx| Box::pin(everybodys(tx)))
    }

    async fn everybodys(tx: &mut Tx) -> Result<Vec<String>, Fault> {
        let rows = sql!(
            tx,
            all(String, i64),
            "SELECT partner_id, position FROM feed ORDER BY position"
        )?;
        Ok(rows.into_iter().map(|(partner, _)| partner).collect())
    }

    fn id(number: u128) -> String {
        partner(number).to_string()
    }

    /// What a partner may see of it: on SQLite what is nobody's is left to the statements.
    fn visible(t: &TestDb, own: &[u128]) -> Vec<String> {
        let own = own.iter().map(|number| id(*number));
        match t.engine() {
            Engine::Postgres => own.collect(),
            Engine::Sqlite => own.chain([String::new()]).collect(),
        }
    }

    on_both_engines! {
        async fn tenancy_holds_when_a_statement_forgets_it(t: TestDb) {
            furnish(&t).await;
            for number in [1, 2] {
                let seen = t.db.read(&partner_caller(number), broken()).await.expect("read");
                assert_eq!(seen, visible(&t, &[number]));
            }
            let nobody = Caller { partner_id: None, ..partner_caller(1) };
            assert_eq!(t.db.read(&nobody, broken()).await.expect("read"), visible(&t, &[]));
            let all = t.db.read(&system(), broken()).await.expect("read");
            assert_eq!(all, [id(1), id(2), String::new()]);
        }

        async fn tenancy_bounds_what_is_told_and_for_whom(t: TestDb) {
            let foreign: Work<()> = op("foreign", |tx| {
                Box::pin(async move {
                    tx.publish(entry(Some(2), "thing", 1));
                    Ok(())
                })
            });
            let answer = t.db.execute(&partner_caller(1), foreign).await;
            assert!(matches!(answer, Err(Fault::Internal(_))), "{answer:?}");
            for (caller, refused) in [(2, true), (1, false)] {
                let acts = op("acts", move |tx| {
                    Box::pin(async move {
                        tx.act_for(Arc::new(partner_caller(caller)));
                        tx.publish(entry(Some(1), "thing", 1));
                        Ok(())
                    })
                });
                let answer = t.db.execute(&partner_caller(1), acts).await;
                assert_eq!(answer.is_err(), refused, "{answer:?}");
            }
            assert_eq!(t.read(broken()).await.expect("read"), [id(1)]);
        }

        async fn tenancy_is_left_on_purpose_only_and_comes_back(t: TestDb) {
            furnish(&t).await;
            let look: Work<[Vec<String>; 3]> = op("look", |tx| {
                Box::pin(async move {
                    let widened = tx.widen("a test looks at everything").await?;
                    let wide = everybodys(tx).await?;
                    tx.narrow(widened).await?;
                    let narrow = everybodys(tx).await?;
                    let place = tx.savepoint().await?;
                    let _never_narrowed = tx.widen("a test forgets to narrow").await?;
                    tx.rollback_to(place).await?;
                    Ok([wide, narrow, everybodys(tx).await?])
                })
            });
            let [wide, narrow, back] = t.db.execute(&partner_caller(2), look).await.expect("looked");
            assert_eq!(wide, [id(1), id(2), String::new()]);
            assert_eq!(narrow, visible(&t, &[2]));
            assert_eq!(back, narrow);
        }
    }

    async fn raw(url: &str) -> PgConnection {
        let options: PgConnectOptions = url.parse().expect("a URL");
        options.connect().await.expect("a connection")
    }

    async fn count(connection: &mut PgConnection) -> i64 {
        let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM feed")
            .fetch_one(connection)
            .await
            .expect("a count");
        count
    }

    /// The SQLSTATE of a statement that is refused.
    async fn refusal(connection: &mut PgConnection, text: &str) -> String {
        let error = connection
            .execute(AssertSqlSafe(text.to_owned()))
            .await
            .expect_err(text);
        let error = error.into_database_error().expect("the server's word");
        error.code().expect("an SQLSTATE").into_owned()
    }

    #[test]
    fn tenancy_cannot_be_taken_away_by_the_role_that_services_run_as() {
        testkit::run(Engine::Postgres, Setup::new(), |t| async move {
            furnish(&t).await;
            let mut owner = raw(t.owner_url()).await;
            let made = "CREATE TABLE other (partner_id TEXT PRIMARY KEY)";
            owner.execute(made).await.expect("made");
            // Only the tests of the store have it, for tables of their own.
            let revoke = "REVOKE CREATE ON SCHEMA public FROM PUBLIC, vitrine_service";
            let _ = owner.execute(revoke).await;
            let mut service = raw(&t.config().url).await;
            assert_eq!(
                count(&mut service).await,
                0,
                "unset, nobody's rows are seen"
            );
            for setting in ["", ",", "%", "**", " *", "*,"] {
                let set = format!("SET vitrine.partners = '{setting}'");
                service.execute(AssertSqlSafe(set)).await.expect("set");
                let seen = count(&mut service).await;
                // What is nobody's is named by the empty name.
                assert!(
                    seen <= i64::from(setting.contains(',')),
                    "{setting}: {seen}"
                );
            }
            service
                .execute("RESET vitrine.partners")
                .await
                .expect("reset");
            for text in [
                "SET ROLE vitrine",
                "SET SESSION AUTHORIZATION vitrine",
                "ALTER TABLE feed DISABLE ROW LEVEL SECURITY",
                "ALTER TABLE feed NO FORCE ROW LEVEL SECURITY",
                "DROP POLICY tenancy ON feed",
                "ALTER POLICY tenancy ON feed USING (true)",
                "CREATE POLICY all_of_it ON feed USING (true)",
                "DROP TABLE feed",
                "TRUNCATE feed",
                "CREATE TABLE copy AS SELECT * FROM feed",
                "CREATE SCHEMA own",
                "ALTER ROLE vitrine_service BYPASSRLS",
                "ALTER ROLE vitrine_service SUPERUSER",
                "SELECT * FROM other",
                "INSERT INTO _migrations_store (version) VALUES (99)",
                "DELETE FROM _migrations_store",
                "SET row_security = off; SELECT * FROM feed",
            ] {
                let code = refusal(&mut service, text).await;
                assert!(code == "42501" || code == "42704", "{text}: {code}");
                service.execute("RESET row_security").await.expect("reset");
            }
            // What is set for one transaction is gone with it.
            let one = "BEGIN; SELECT set_config('vitrine.partners', '*', true)";
            service.execute(one).await.expect("begun");
            assert_eq!(count(&mut service).await, 3);
            service.execute("COMMIT").await.expect("ended");
            assert_eq!(count(&mut service).await, 0);
            // Owning the tables is no way around.
            let text =
                "CREATE ROLE landlord LOGIN; ALTER TABLE feed OWNER TO landlord; SET ROLE landlord";
            let _ = owner.execute("DROP ROLE IF EXISTS landlord").await;
            owner.execute(text).await.expect("given away");
            assert_eq!(count(&mut owner).await, 0);
            let back = "RESET ROLE; ALTER TABLE feed OWNER TO CURRENT_USER; DROP ROLE landlord";
            owner.execute(back).await.expect("taken back");
            service.close().await.expect("closed");
            owner.close().await.expect("closed");
        });
    }

    #[test]
    fn tenancy_is_not_left_to_a_role_that_policies_do_not_hold_for() {
        testkit::run(Engine::Postgres, Setup::new(), |t| async move {
            assert_eq!(t.role_problem().await, None);
            let owner = t.owner_url().to_owned();
            let above = t.reopen_with(|config| config.url = owner.clone()).await;
            let problem = above.role_problem().await.expect("a problem");
            assert!(problem.contains("migrate_url"), "{problem}");
            let answer = above.read(&system(), broken()).await;
            assert!(matches!(answer, Err(Fault::Internal(_))), "{answer:?}");
            let allowed = t
                .reopen_with(|config| {
                    config.url = owner.clone();
                    config.allow_bypass_role = true;
                })
                .await;
            assert_eq!(allowed.role_problem().await, None);
            assert!(
                allowed
                    .read(&system(), broken())
                    .await
                    .expect("read")
                    .is_empty()
            );
        });
    }
}
