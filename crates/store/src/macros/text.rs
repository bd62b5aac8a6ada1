//! Checks on SQL texts, done by the compiler.

/// The text, if its highest `$n` is the number of binds.
pub const fn checked(text: &'static str, binds: usize) -> &'static str {
    let highest = highest_parameter(text);
    assert!(
        highest <= binds,
        "sql!: the text has a parameter $n that nothing is bound to"
    );
    assert!(
        highest >= binds,
        "sql!: more is bound than the text has parameters"
    );
    text
}

/// Both texts, if their highest `$n` is what the columns and the scalars make.
pub const fn checked_bulk(
    postgres: &'static str,
    sqlite: &'static str,
    columns: usize,
    also: usize,
) -> (&'static str, &'static str) {
    assert!(
        highest_parameter(postgres) == columns + also,
        "bulk!: on PostgreSQL the highest $n must be the number of columns and scalars together"
    );
    assert!(
        highest_parameter(sqlite) == 1 + also,
        "bulk!: on SQLite the highest $n must be 1 (the rows) and the number of scalars together"
    );
    (postgres, sqlite)
}

/// The highest `$n` outside quotes and comments.
const fn highest_parameter(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut highest) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"') => at = skip_to(bytes, at + 1, quote),
            b'-' if at + 1 < bytes.len() && bytes[at + 1] == b'-' => at = skip_to(bytes, at, b'\n'),
            b'$' => {
                let mut number = 0;
                while at + 1 < bytes.len() && bytes[at + 1].is_ascii_digit() {
                    at += 1;
                    number = number * 10 + (bytes[at] - b'0') as usize;
                }
                if number > highest {
                    highest = number;
                }
            }
            _ => {}
        }
        at += 1;
    }
    highest
}

const fn skip_to(bytes: &[u8], mut at: usize, end: u8) -> usize {
    while at < bytes.len() && bytes[at] != end {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_highest_parameter() {
        for (text, highest) in [
            ("SELECT 1", 0),
            ("SELECT $1", 1),
            ("SELECT $2, $1, $2", 2),
            ("SELECT $12::TEXT[]", 12),
            ("SELECT '$9', $1", 1),
            ("SELECT 'it''s $9', $1", 1),
            ("SELECT \"$9\", $1", 1),
            ("SELECT $1 -- and $7\n, $2", 2),
            ("SELECT $1 - $2 -- $7", 2),
            ("SELECT '$9", 0),
            ("$", 0),
            ("", 0),
        ] {
            assert_eq!(highest_parameter(text), highest, "{text}");
        }
    }
}
