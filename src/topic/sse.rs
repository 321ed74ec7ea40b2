//! Writing Server-Sent Events (HTML Living Standard §9.2).
//!
//! Nothing that was published can end a line or an event: data is split at every line end that the standard knows,
//! and ids and types have no control characters.

use std::time::Duration;

/// Appends one event.
pub fn event(out: &mut String, id: &str, kind: &str, data: &str) {
    field(out, "id", id);
    if !kind.is_empty() {
        field(out, "event", kind);
    }
    for line in lines(data) {
        field(out, "data", line);
    }
    out.push('\n');
}

/// Appends the beginning of a stream: when to reconnect after its end, and with which id. An event without
/// data sets the id without reaching any listener.
pub fn preamble(out: &mut String, retry: Duration, id: Option<&str>) {
    field(out, "retry", &crate::time::millis(retry).to_string());
    if let Some(id) = id {
        field(out, "id", id);
    }
    out.push('\n');
}

/// Appends a comment, which clients ignore. `text` is a word of ours.
pub fn comment(out: &mut String, text: &'static str) {
    out.push(':');
    out.push_str(text);
    out.push_str("\n\n");
}

fn field(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    // Readers drop exactly one blank, so a value may itself begin with one.
    out.push_str(": ");
    out.push_str(value);
    out.push('\n');
}

/// Splits `data` into lines: CR LF, LF and CR each end one.
fn lines(data: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else { return rest.take() };
        let (line, end_and_rest) = text.split_at(end);
        rest = end_and_rest.strip_prefix("\r\n").or_else(|| end_and_rest.get(1..));
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(kind: &str, data: &str) -> String {
        let mut out = String::new();
        event(&mut out, "1-0", kind, data);
        out
    }

    #[test]
    fn an_event_is_written_line_by_line() {
        assert_eq!(written("created", "a"), "id: 1-0\nevent: created\ndata: a\n\n");
        assert_eq!(written("", "a\nb\r\nc\rd"), "id: 1-0\ndata: a\ndata: b\ndata: c\ndata: d\n\n");
        assert_eq!(written("", ""), "id: 1-0\ndata: \n\n", "an event without data would not be heard");
        assert_eq!(written("", "a\n"), "id: 1-0\ndata: a\ndata: \n\n");
        assert_eq!(written("", " a"), "id: 1-0\ndata:  a\n\n");
    }

    #[test]
    fn data_cannot_forge_an_event() {
        for end in ["\n", "\r", "\r\n"] {
            let forged = written("", &format!("x{end}{end}id: 9-9{end}event: evil{end}data: y"));
            assert_eq!(forged.matches("\n\n").count(), 1, "{forged:?}");
            assert!(forged.contains("\ndata: id: 9-9\ndata: event: evil\n"), "{forged:?}");
            assert!(!forged.contains('\r'));
        }
    }

    #[test]
    fn a_stream_begins_with_retry_and_id() {
        let mut out = String::new();
        preamble(&mut out, Duration::from_millis(1500), Some("1-0"));
        preamble(&mut out, Duration::from_secs(1), None);
        comment(&mut out, "keep-alive");
        assert_eq!(out, "retry: 1500\nid: 1-0\n\nretry: 1000\n\n:keep-alive\n\n");
    }

    proptest! {
        /// Reads as the standard says: lines joined by LF.
        #[test]
        fn data_is_read_as_it_was_written_but_for_line_ends(data in "[a\r\n: é\u{0}]{0,20}") {
            let text = written("", &data);
            let read: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
            let expected = data.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(read.join("\n"), expected);
            prop_assert!(text.ends_with("\n\n"));
            prop_assert_eq!(text.matches("\n\n").count(), 1);
        }
    }
}
