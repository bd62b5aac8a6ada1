use proptest::prelude::*;

use super::*;

fn limits() -> Limits {
    Limits {
        record_bytes: 200,
        scan_bytes: 1_000,
        resync_bytes: 300,
        rescan_bytes: 100_000,
        columns: 8,
        product_rows: 100,
        rows: 1_000_000,
        bytes: 1_000_000_000,
    }
}

/// Everything in a text with a header of `cells` cells, fed in pieces of `step` bytes.
fn all(text: &[u8], cells: usize, step: usize) -> Vec<Step> {
    let mut reader = Cells::new(b',', limits());
    reader.expect(cells, 0);
    let mut steps = Vec::new();
    let mut chunks = text.chunks(step);
    loop {
        match reader.step() {
            Step::More => match chunks.next() {
                Some(chunk) => reader.buffer().extend_from_slice(chunk),
                None => reader.end(),
            },
            Step::End => return steps,
            step => steps.push(step),
        }
    }
}

fn told(text: &[u8], cells: usize) -> Vec<String> {
    let whole = all(text, cells, usize::MAX);
    for step in [1, 2, 3, 5, 64] {
        assert_eq!(all(text, cells, step), whole, "in pieces of {step}");
    }
    let tell = |step: Step| match step {
        Step::Row(row) => {
            let cells: Vec<String> = row
                .cells
                .into_iter()
                .map(|cell| cell.text.unwrap_or_else(|_| "?".into()))
                .collect();
            format!("{}-{} {}", row.line, row.last_line, cells.join("|"))
        }
        Step::Damage(damage) => {
            format!("{}-{} {}", damage.line, damage.last_line, damage.reason)
        }
        Step::More | Step::End => unreachable!("not gathered"),
    };
    whole.into_iter().map(tell).collect()
}

#[test]
fn rows_of_every_line_end_and_quoted_cells() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["a,b", "\"c,\"\"d\"\"\",", "", "\"e", "f\",g", "last,1"].join(end);
        let rows = told(text.as_bytes(), 2);
        let wanted =
            ["1-1 a|b", "2-2 c,\"d\"|", "4-5 e*f|g", "6-6 last|1"].map(|row| row.replace('*', end));
        assert_eq!(rows, wanted, "{end:?}");
    }
    assert_eq!(told(b"", 2), Vec::<String>::new());
    assert_eq!(told(b"a,5\" pipe\n", 2), ["1-1 a|5\" pipe"]);
    assert_eq!(told(b"a,\"\"\n", 2), ["1-1 a|"]);
    assert_eq!(told(b"a,\"b\"", 2), ["1-1 a|b"]);
}

#[test]
fn damage_ends_where_rows_begin_again() {
    assert_eq!(
        told(b"a,\"b\nc,d\ne,f\n", 2),
        ["1-1 BAD_QUOTE", "2-2 c|d", "3-3 e|f"]
    );
    assert_eq!(
        told(b"a,\"b\nc,\"d\"\ne,f\n", 2),
        ["1-1 BAD_QUOTE", "2-2 c|d", "3-3 e|f"]
    );
    assert_eq!(told(b"a,\"b\" x\nc,d\n", 2), ["1-1 BAD_QUOTE", "2-2 c|d"]);
    // The torn cell's other lines are no rows: one damage tells of all of them.
    assert_eq!(
        told(b"a,\"b\" x\nmore text\n<p>1,2\nc,d\n", 2),
        ["1-3 BAD_QUOTE", "4-4 c|d"]
    );
    // A quote that another row closes by chance gives a row with too many cells.
    assert_eq!(
        told(b"a,\"b\nc,\",d\ne,f\n", 2),
        ["1-2 BAD_QUOTE", "3-3 e|f"]
    );
    assert_eq!(told(b"a,\"b", 2), ["1-1 BAD_QUOTE"]);
    assert_eq!(told(b"a,b\n\"", 2), ["1-1 a|b", "2-2 BAD_QUOTE"]);
    assert_eq!(told(b"a,\"b\r", 2), ["1-1 BAD_QUOTE"]);
}

#[test]
fn cells_too_many_or_too_large_are_told_and_not_kept() {
    assert_eq!(
        told(b"a,b,c,d,e,f,g,h,i,j,k\nc,d\n", 2),
        ["1-1 a|b|c|d|e|f|g|h", "2-2 c|d"]
    );
    let large = [b"a,\"".to_vec(), b"x".repeat(300), b"\"\nc,d\n".to_vec()].concat();
    assert_eq!(told(&large, 2), ["1-1 TOO_LARGE", "2-2 c|d"]);
    let endless = [b"a,\"".to_vec(), b"x\n".repeat(2_000), b"\nc,d\n".to_vec()].concat();
    assert_eq!(told(&endless, 2), ["1-2001 BAD_QUOTE", "2002-2002 c|d"]);
    let long = [b"a,".to_vec(), b"x".repeat(5_000), b"\nc,d\n".to_vec()].concat();
    assert_eq!(told(&long, 2), ["1-1 TOO_LARGE", "2-2 c|d"]);
}

#[test]
fn what_is_no_utf8_is_no_text() {
    assert_eq!(
        told(b"a,caf\xe9\nb,\"caf\xe9\"\n", 2),
        ["1-1 a|?", "2-2 b|?"]
    );
}

proptest! {
    /// Whatever the bytes and however they come: it ends, lines never go back, and none is told twice.
    #[test]
    fn any_bytes_are_read_to_the_end(text in proptest::collection::vec(prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), Just(b'\r'), any::<u8>()], 0..400), step in 1usize..50) {
        let whole = all(&text, 3, usize::MAX);
        prop_assert_eq!(&all(&text, 3, step), &whole);
        let mut line = 0;
        for step in whole {
            let (first, last) = match step {
                Step::Row(row) => (row.line, row.last_line),
                Step::Damage(damage) => (damage.line, damage.last_line),
                Step::More | Step::End => unreachable!("not gathered"),
            };
            prop_assert!(first > line && last >= first);
            line = last;
        }
    }

    /// What was written comes back.
    #[test]
    fn rows_come_back_as_written(rows in proptest::collection::vec(proptest::collection::vec("[a-z\",\n]{0,8}", 3), 1..10), step in 1usize..20) {
        let mut text = String::new();
        for row in &rows {
            let cells: Vec<String> = row.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        let read: Vec<Vec<String>> = all(text.as_bytes(), 3, step).into_iter().map(|step| match step {
            Step::Row(row) => row.cells.into_iter().map(|cell| cell.text.expect("text")).collect(),
            other => panic!("{other:?}"),
        }).collect();
        prop_assert_eq!(read, rows);
    }
}
