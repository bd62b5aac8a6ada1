//! Which key was meant.

use std::collections::BTreeSet;

use super::tree;

/// Says which key was probably meant.
pub(super) fn nearest(key: &str, siblings: &[&str], known: &BTreeSet<String>) -> String {
    let (parent, last) = key.rsplit_once('.').unwrap_or(("", key));
    let sibling = siblings.iter().min_by_key(|name| distance(name, last));
    if let Some(name) = sibling
        && distance(name, last) <= last.chars().count().max(3) / 2
    {
        return format!("did you mean {}?", tree::join(parent, name));
    }
    // A key of that very name in another table is more likely meant than an unlike one here.
    let elsewhere = known
        .iter()
        .find(|known| known.rsplit('.').next() == Some(last));
    if let Some(known) = elsewhere {
        return format!("did you mean {known}?");
    }
    match sibling {
        Some(name) => format!("the nearest is {}", tree::join(parent, name)),
        None => "there are none here".to_owned(),
    }
}

/// How many letters must be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
