//! Parse, don't validate: every check gives the typed value or notes what is wrong, so that a caller
//! hears of all wrong fields at once.

mod money;

use std::fmt::{Display, Write};
use std::ops::{Deref, DerefMut, RangeInclusive};
use std::str::FromStr;

use contracts::common::v1;
use prost_types::Timestamp;

use crate::clock::Micros;
use crate::errors::{ErrorReason, FieldViolation, Refusal};

/// More wrong fields than this are counted and not listed; an answer stays small however wrong the call.
const LISTED: usize = 32;

/// Gathers what is wrong with a request.
#[derive(Debug, Default)]
pub struct Violations {
    prefix: String,
    listed: Vec<FieldViolation>,
    unlisted: usize,
}

impl Violations {
    /// Nothing wrong yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that a field is wrong. The description ends the sentence "Field x: …".
    pub fn add(&mut self, field: &str, description: impl Into<String>) {
        if self.listed.len() == LISTED {
            self.unlisted += 1;
            return;
        }
        self.listed.push(FieldViolation {
            field: format!("{}{field}", self.prefix),
            description: description.into(),
        });
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Checks inside a nested message, such as `lines[2]`, until the guard is dropped.
    pub fn nested(&mut self, prefix: impl Display) -> Nested<'_> {
        let outer = self.prefix.len();
        // Writing to a String does not fail.
        let _ = write!(self.prefix, "{prefix}.");
        Nested { inner: self, outer }
    }

    /// An id of the type asked for.
    pub fn id<I>(&mut self, field: &str, text: &str) -> Option<I>
    where
        I: FromStr,
        I::Err: Display,
    {
        if text.is_empty() {
            self.add(field, "must not be empty.");
            return None;
        }
        match text.parse() {
            Ok(id) => Some(id),
            Err(error) => {
                self.add(field, format!("is no id of this kind ({error})."));
                None
            }
        }
    }

    /// An id, or none when the field is empty.
    pub fn opt_id<I>(&mut self, field: &str, text: &str) -> Option<I>
    where
        I: FromStr,
        I::Err: Display,
    {
        if text.is_empty() {
            None
        } else {
            self.id(field, text)
        }
    }

    /// One line of text, its length counted in characters.
    pub fn text(&mut self, field: &str, text: &str, length: RangeInclusive<usize>) -> String {
        self.checked_text(field, text, length, |letter| letter.is_control())
    }

    /// One line of text, or none when the field is empty.
    pub fn opt_text(
        &mut self,
        field: &str,
        text: &str,
        length: RangeInclusive<usize>,
    ) -> Option<String> {
        (!text.is_empty()).then(|| self.text(field, text, length))
    }

    /// Text that may have several lines.
    pub fn long_text(&mut self, field: &str, text: &str, length: RangeInclusive<usize>) -> String {
        self.checked_text(field, text, length, |letter| {
            letter.is_control() && !matches!(letter, '\n' | '\t')
        })
    }

    fn checked_text(
        &mut self,
        field: &str,
        text: &str,
        length: RangeInclusive<usize>,
        forbidden: fn(char) -> bool,
    ) -> String {
        let count = text.chars().take(length.end().saturating_add(1)).count();
        if text.trim().is_empty() && *length.start() > 0 {
            self.add(field, "must not be empty.");
        } else if !length.contains(&count) {
            let (least, most) = (length.start(), length.end());
            self.add(field, format!("must have {least} to {most} characters."));
        } else if text.chars().any(forbidden) {
            self.add(field, "must not hold control characters.");
        } else {
            return text.to_owned();
        }
        String::new()
    }

    /// A whole number within a range. Outside it, the nearest end is returned.
    pub fn range<N>(&mut self, field: &str, number: N, range: RangeInclusive<i64>) -> i64
    where
        N: Into<i64>,
    {
        let number = number.into();
        if !range.contains(&number) {
            self.add(
                field,
                format!("must be {} to {}.", range.start(), range.end()),
            );
        }
        number.clamp(*range.start(), *range.end())
    }

    /// An enum value that this server knows and that is not its unspecified one.
    pub fn enumeration<E>(&mut self, field: &str, number: i32) -> E
    where
        E: TryFrom<i32> + Default,
    {
        match E::try_from(number) {
            Ok(value) if number != 0 => value,
            Ok(unspecified) => {
                self.add(field, "must be set.");
                unspecified
            }
            Err(_) => {
                self.add(
                    field,
                    format!("has the value {number}, which this server does not know."),
                );
                E::default()
            }
        }
    }

    /// An enum value, or none when it is the unspecified one.
    pub fn opt_enumeration<E>(&mut self, field: &str, number: i32) -> Option<E>
    where
        E: TryFrom<i32> + Default,
    {
        (number != 0).then(|| self.enumeration(field, number))
    }

    /// A message that must be there.
    pub fn required<'a, T>(&mut self, field: &str, value: &'a Option<T>) -> Option<&'a T> {
        if value.is_none() {
            self.add(field, "must be set.");
        }
        value.as_ref()
    }

    /// A moment that must be there.
    pub fn time(&mut self, field: &str, value: &Option<Timestamp>) -> Option<Micros> {
        self.required(field, value)?;
        self.opt_time(field, value)
    }

    /// A moment, or none when the field is absent.
    pub fn opt_time(&mut self, field: &str, value: &Option<Timestamp>) -> Option<Micros> {
        let time = Micros::from_proto(value.as_ref()?);
        if time.is_none() {
            self.add(
                field,
                "must be a time in the years 1 to 9999 with nanoseconds below a second.",
            );
        }
        time
    }

    /// A period; an absent one is open on both sides.
    pub fn window(&mut self, field: &str, value: &Option<v1::Window>) -> Window {
        let Some(value) = value else {
            return Window::default();
        };
        let mut inside = self.nested(field);
        let window = Window {
            start: inside.opt_time("start_time", &value.start_time),
            end: inside.opt_time("end_time", &value.end_time),
        };
        if let (Some(start), Some(end)) = (window.start, window.end)
            && end <= start
        {
            inside.add("end_time", "must be after start_time.");
        }
        window
    }

    /// How many items a repeated field has. Says whether the number is right.
    pub fn items<T>(&mut self, field: &str, items: &[T], count: RangeInclusive<usize>) -> bool {
        let right = count.contains(&items.len());
        if !right {
            let (least, most) = (count.start(), count.end());
            self.add(
                field,
                format!(
                    "must have {least} to {most} items, but has {}.",
                    items.len()
                ),
            );
        }
        right
    }

    /// The refusal that names everything wrong, if anything is.
    pub fn finish(self) -> Result<(), Refusal> {
        let Some(first) = self.listed.first() else {
            return Ok(());
        };
        let more = self.listed.len() - 1 + self.unlisted;
        let mut message = format!("Field {}: {}", first.field, first.description);
        if more > 0 {
            message.push_str(&format!(" ({more} more wrong.)"));
        }
        let mut refusal = Refusal::new(ErrorReason::InvalidField, message);
        refusal.violations = self.listed;
        Err(refusal)
    }
}

/// A period, from `start` until just before `end`; open where absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// First moment inside.
    pub start: Option<Micros>,
    /// First moment after.
    pub end: Option<Micros>,
}

impl Window {
    /// Whether the moment lies inside.
    pub fn contains(&self, time: Micros) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time < end)
    }
}

/// Checks inside a nested message; see [`Violations::nested`].
#[derive(Debug)]
pub struct Nested<'a> {
    inner: &'a mut Violations,
    outer: usize,
}

impl Deref for Nested<'_> {
    type Target = Violations;

    fn deref(&self) -> &Violations {
        self.inner
    }
}

impl DerefMut for Nested<'_> {
    fn deref_mut(&mut self) -> &mut Violations {
        self.inner
    }
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        self.inner.prefix.truncate(self.outer);
    }
}

#[cfg(test)]
mod tests {
    use contracts::common::v1::PurchaseMode;
    use contracts::id::OrderId;
    use proptest::prelude::*;

    use super::*;

    fn fields(violations: Violations) -> Vec<String> {
        let refusal = violations.finish().expect_err("something is wrong");
        refusal
            .violations
            .into_iter()
            .map(|violation| violation.field)
            .collect()
    }

    #[test]
    fn a_right_request_passes_and_gives_typed_values() {
        let mut v = Violations::new();
        let id = OrderId::from_uuid(7);
        assert_eq!(v.id::<OrderId>("order_id", id.as_str()), Some(id));
        assert_eq!(v.text("title", "Teapot", 1..=6), "Teapot");
        assert_eq!(v.long_text("note", "a\nb", 0..=64), "a\nb");
        assert_eq!(v.range("quantity", 3, 1..=10), 3);
        assert_eq!(
            v.enumeration::<PurchaseMode>("mode", 2),
            PurchaseMode::Redirect
        );
        assert_eq!(v.opt_id::<OrderId>("other", ""), None);
        assert_eq!(v.finish(), Ok(()));
    }

    #[test]
    fn every_wrong_field_is_named_with_its_path() {
        let mut v = Violations::new();
        v.id::<OrderId>("order_id", "partner_00000000000000000000000000");
        {
            let mut line = v.nested("lines[2]");
            line.range("quantity", 0, 1..=5);
            line.nested("price").required::<i32>("amount", &None);
            line.text("sku", "a\0b", 1..=64);
        }
        v.enumeration::<PurchaseMode>("mode", 0);
        v.enumeration::<PurchaseMode>("other_mode", 99);
        v.items("lines", &[0; 3], 1..=2);
        assert_eq!(
            fields(v),
            [
                "order_id",
                "lines[2].quantity",
                "lines[2].price.amount",
                "lines[2].sku",
                "mode",
                "other_mode",
                "lines",
            ]
        );
    }

    #[test]
    fn a_window_must_not_end_before_it_starts() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let mut v = Violations::new();
        let window = v.window(
            "sale",
            &Some(v1::Window {
                start_time: at(5),
                end_time: at(9),
            }),
        );
        assert!(
            window.contains(Micros::from_seconds(5)) && !window.contains(Micros::from_seconds(9))
        );
        assert!(v.window("none", &None).contains(Micros(0)));
        assert!(v.is_empty());
        v.window(
            "sale",
            &Some(v1::Window {
                start_time: at(5),
                end_time: at(5),
            }),
        );
        assert_eq!(fields(v), ["sale.end_time"]);
    }

    #[test]
    fn a_very_wrong_request_gets_a_short_answer() {
        let mut v = Violations::new();
        for _ in 0..10_000 {
            v.add("x", "is wrong.");
        }
        let refusal = v.finish().expect_err("wrong");
        assert_eq!(refusal.violations.len(), LISTED);
        assert!(refusal.message.contains("9999 more"));
    }

    proptest! {
        #[test]
        fn text_that_passes_is_short_printable_and_unchanged(text in any::<String>()) {
            let mut v = Violations::new();
            let out = v.text("t", &text, 1..=8);
            if v.is_empty() {
                prop_assert_eq!(&out, &text);
                prop_assert!((1..=8).contains(&out.chars().count()));
                prop_assert!(!out.chars().any(char::is_control));
            } else {
                prop_assert_eq!(out, "");
            }
        }
    }
}
