//! Which texts let whoever reads them act. Shared with the build script, which writes `Debug` by it.

/// Whether the name of a text field says that it is a bearer token, a quote, a click token, a signed statement or
/// the like. Page tokens only say where a list goes on.
pub(crate) fn is_credential(name: &str) -> bool {
    let last = name.rsplit('_').next();
    let secret = matches!(
        last,
        Some("token" | "statement" | "signature" | "secret" | "password")
    );
    secret && !name.ends_with("page_token")
}
