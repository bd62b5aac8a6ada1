#[test]
fn the_migrations_are_right_on_both_engines() {
    testkit::check_migrations(room::migrations());
}
