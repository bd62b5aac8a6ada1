//! How the fields of spans and events become text: as tracing-subscriber does it, and faster, because every call is
//! a span with half a dozen fields although few calls ever log a line.

use std::cell::Cell;
use std::error::Error;
use std::fmt;

use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::format::{DefaultVisitor, JsonFields, Writer};
use tracing_subscriber::fmt::{FormatFields, FormattedFields};

thread_local! {
    /// Where fields are put together, so that what is kept is allocated once and has the right size.
    static TEXT: Cell<String> = const { Cell::new(String::new()) };
}

/// More than this is not kept for the next time.
const KEPT_BYTES: usize = 4_096;

/// `name=value name=value`.
pub(super) struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        // Taken, not borrowed: showing a value may log something itself.
        let mut text = TEXT.take();
        text.clear();
        let mut visitor = TextVisitor {
            text: &mut text,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        let result = visitor.result.and_then(|()| writer.write_str(&text));
        if text.capacity() <= KEPT_BYTES {
            TEXT.set(text);
        }
        result
    }
}

struct TextVisitor<'a> {
    text: &'a mut String,
    result: fmt::Result,
}

impl TextVisitor<'_> {
    /// Whatever is not plain is left to the library.
    fn otherwise(&mut self, visit: impl FnOnce(&mut DefaultVisitor<'_>)) {
        if self.result.is_ok() {
            let is_empty = self.text.is_empty();
            let mut visitor = DefaultVisitor::new(Writer::new(self.text), is_empty);
            visit(&mut visitor);
            self.result = visitor.finish();
        }
    }
}

impl Visit for TextVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let name = field.name();
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if name == "message"
            || name.starts_with("log.")
            || name.starts_with("r#")
            || !value.bytes().all(is_plain)
        {
            return self.otherwise(|visitor| visitor.record_str(field, value));
        }
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(name);
        self.text.push_str("=\"");
        self.text.push_str(value);
        self.text.push('"');
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.otherwise(|visitor| visitor.record_error(field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.otherwise(|visitor| visitor.record_debug(field, value));
    }
}

/// One JSON object. Fields that a span learns later are added to it; the library would read it and write it anew.
pub(super) struct AppendedJson(JsonFields);

impl AppendedJson {
    pub(super) fn new() -> Self {
        AppendedJson(JsonFields::new())
    }
}

impl<'writer> FormatFields<'writer> for AppendedJson {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        let mut added = String::new();
        self.0.format_fields(Writer::new(&mut added), fields)?;
        let text = &mut current.fields;
        // `{"a":1}` and `{"b":2}` become `{"a":1,"b":2}`; of a field that is there twice readers take the last.
        match (text.strip_suffix('}'), added.strip_prefix('{')) {
            (Some(open), Some(rest)) if rest != "}" => {
                let (open, first) = (open.len(), open == "{");
                text.truncate(open);
                if !first {
                    text.push(',');
                }
                text.push_str(rest);
            }
            (Some(_), Some(_)) => {}
            _ => *text = added,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Lines;

        fn make_writer(&'a self) -> Lines {
            self.clone()
        }
    }

    impl Lines {
        fn text(&self) -> String {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8(all.clone()).expect("text")
        }
    }

    /// Everything that a field may be.
    fn log() {
        let broken = io::Error::other(fmt::Error);
        let span = tracing::info_span!(
            "rpc",
            path = "/a.B/C",
            quoted = "say \"no\" \\ \u{1b}[31m é\n",
            empty = "",
            number = -3,
            flag = true,
            shown = %"plain",
            later = tracing::field::Empty,
            again = "first",
            r#type = "t",
        );
        span.record("later", "it is here");
        span.record("again", "second");
        let _inside = span.enter();
        tracing::info!(
            count = 2,
            word = "w",
            error = &broken as &dyn Error,
            "a {} message\u{1b}",
            "long"
        );
        tracing::info_span!("bare").in_scope(|| tracing::info!("nothing else"));
        let late = tracing::info_span!("late", only = tracing::field::Empty);
        late.record("only", 7);
        late.in_scope(|| tracing::info!("x"));
    }

    #[test]
    fn text_is_what_the_library_writes() {
        let (ours, theirs) = (Lines::default(), Lines::default());
        let layer = |lines: &Lines| {
            tracing_subscriber::fmt()
                .with_ansi(false)
                .without_time()
                .with_writer(lines.clone())
        };
        tracing::subscriber::with_default(layer(&theirs).finish(), log);
        tracing::subscriber::with_default(layer(&ours).fmt_fields(TextFields).finish(), log);
        assert!(ours.text().contains("later=\"it is here\""));
        assert_eq!(ours.text(), theirs.text());
    }

    #[test]
    fn json_is_what_the_library_writes() {
        let (ours, theirs) = (Lines::default(), Lines::default());
        let layer = |lines: &Lines| {
            tracing_subscriber::fmt()
                .json()
                .flatten_event(true)
                .without_time()
                .with_writer(lines.clone())
        };
        tracing::subscriber::with_default(layer(&theirs).finish(), log);
        let appended = layer(&ours).fmt_fields(AppendedJson::new()).finish();
        tracing::subscriber::with_default(appended, log);
        let read = |lines: &Lines| -> Vec<serde_json::Value> {
            let text = lines.text();
            let lines = text.lines().map(serde_json::from_str);
            lines.collect::<Result<_, _>>().expect("JSON")
        };
        assert_eq!(read(&ours).len(), 3);
        assert_eq!(read(&ours), read(&theirs));
    }
}
