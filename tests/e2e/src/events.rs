//! A reader of Server-Sent Events, as strict as HTML Living Standard §9.2.6.

use crate::client::{Client, Streaming};
use crate::message::{Headers, Request};

/// The lines between two blank lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The id it sets.
    pub id: Option<String>,
    /// The type; `message` if it has none.
    pub kind: Option<String>,
    /// The data; a listener gets no event without data.
    pub data: Option<String>,
    /// The reconnection time, in milliseconds.
    pub retry: Option<u64>,
    /// Its comments.
    pub comments: Vec<String>,
}

/// A stream that is being read.
pub struct Events<'a> {
    streaming: Streaming<'a>,
    text: String,
    last_id: String,
}

impl<'a> Events<'a> {
    /// Sends a request that is answered with a stream.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn open(client: &'a mut Client, request: &Request) -> Self {
        client.start(request);
        let streaming = client.response(false);
        if streaming.status != 200 {
            panic!("expected a stream, found {:?}", streaming.read());
        }
        assert_eq!(streaming.headers.get("content-type"), Some("text/event-stream"));
        Self { streaming, text: String::new(), last_id: String::new() }
    }

    /// The fields of the response.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.streaming.headers
    }

    /// The id that an `EventSource` would send if it reconnected now.
    #[must_use]
    pub fn last_id(&self) -> &str {
        &self.last_id
    }

    /// The next block; `None` at the end of the stream.
    #[track_caller]
    pub fn block(&mut self) -> Option<Block> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block = parse(&self.text[..end]);
                self.text.drain(..end + 2);
                if let Some(id) = &block.id {
                    self.last_id.clone_from(id);
                }
                return Some(block);
            }
            let Some(piece) = self.streaming.piece() else {
                assert_eq!(self.text, "", "the stream ends inside of a block");
                return None;
            };
            let piece =
                String::from_utf8(piece).expect("streams are UTF-8, and no piece ends inside of a character");
            assert!(!piece.contains('\r'), "{piece:?}");
            self.text.push_str(&piece);
        }
    }

    /// The next block with data, which is what a listener gets. `None` at the end of the stream.
    #[track_caller]
    pub fn try_event(&mut self) -> Option<Block> {
        loop {
            let block = self.block()?;
            if block.data.is_some() {
                return Some(block);
            }
        }
    }

    /// The same.
    ///
    /// # Panics
    /// At the end of the stream.
    #[track_caller]
    pub fn event(&mut self) -> Block {
        self.try_event().expect("an event before the stream ends")
    }

    /// The data of the next `count` events.
    #[track_caller]
    pub fn data(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.event().data.unwrap_or_default()).collect()
    }

    /// Reads to the end, and returns the data of all events until then.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.try_event()?.data).collect()
    }
}

fn parse(text: &str) -> Block {
    let mut block = Block::default();
    for line in text.split('\n') {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match name {
            "" => block.comments.push(value),
            "id" => block.id = Some(value),
            "event" => block.kind = Some(value),
            "retry" => block.retry = Some(value.parse().expect("milliseconds")),
            "data" => {
                block.data = Some(match block.data.take() {
                    Some(data) => format!("{data}\n{value}"),
                    None => value,
                });
            }
            other => panic!("expected a field of an event, found {other:?} in {text:?}"),
        }
    }
    block
}
