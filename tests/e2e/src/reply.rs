//! The answers of an origin.

/// A response, as an origin sends it.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    fields: Vec<(String, String)>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// With its length; `declared` is the `Content-Length` that is sent.
    Length {
        body: Vec<u8>,
        declared: Option<usize>,
    },
    Chunked(Vec<Vec<u8>>),
    /// Neither: it ends with the connection.
    UntilClose(Vec<u8>),
    /// Bytes that need not be a valid response.
    Raw(Vec<u8>),
}

impl Reply {
    /// 200 with this content.
    #[must_use]
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).body(body)
    }

    /// A status without content.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self { status, fields: vec![], content: Content::Length { body: vec![], declared: None } }
    }

    /// Exactly these bytes, and then the end of the connection.
    #[must_use]
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, fields: vec![], content: Content::Raw(bytes.into()) }
    }

    /// 200, fresh for a minute.
    #[must_use]
    pub fn fresh(body: impl Into<Vec<u8>>) -> Self {
        Self::ok(body).header("cache-control", "max-age=60")
    }

    /// 200, stale from the start, with this entity tag for validation.
    #[must_use]
    pub fn stale(body: impl Into<Vec<u8>>, etag: &str) -> Self {
        Self::ok(body).header("cache-control", "max-age=60").header("age", "100").header("etag", etag)
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Sets the content.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.content = Content::Length { body: body.into(), declared: None };
        self
    }

    /// Sends the content in chunks, without a declared length.
    #[must_use]
    pub fn chunks(mut self, chunks: &[&[u8]]) -> Self {
        self.content = Content::Chunked(chunks.iter().map(|chunk| chunk.to_vec()).collect());
        self
    }

    /// Sends the content until the connection ends, without a declared length.
    #[must_use]
    pub fn until_close(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.content = Content::UntilClose(body.into());
        self
    }

    /// Declares another length than the content has, and ends the connection.
    #[must_use]
    pub fn declaring(mut self, length: usize) -> Self {
        if let Content::Length { declared, .. } = &mut self.content {
            *declared = Some(length);
        }
        self
    }

    /// Whether the connection can be reused.
    pub(crate) const fn keeps_open(&self) -> bool {
        matches!(self.content, Content::Length { declared: None, .. } | Content::Chunked(_))
    }

    /// The bytes for the wire; without content if the request was HEAD.
    pub(crate) fn bytes(&self, to_head: bool) -> Vec<u8> {
        let (framing, mut body) = match &self.content {
            Content::Raw(bytes) => return bytes.clone(),
            Content::Length { body, declared } => {
                (format!("content-length: {}\r\n", declared.unwrap_or(body.len())), body.clone())
            }
            Content::Chunked(chunks) => ("transfer-encoding: chunked\r\n".to_owned(), chunked(chunks)),
            Content::UntilClose(body) => (String::new(), body.clone()),
        };
        let without = matches!(self.status, 204 | 304);
        let framing = if without { String::new() } else { framing };
        if to_head || without {
            body.clear();
        }
        let mut head = format!("HTTP/1.1 {} Reply\r\n", self.status);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.keeps_open() {
            head.push_str("connection: close\r\n");
        }
        head.push_str(&framing);
        head.push_str("\r\n");
        [head.into_bytes(), body].concat()
    }
}

fn chunked(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut all = Vec::new();
    for chunk in chunks {
        all.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        all.extend_from_slice(chunk);
        all.extend_from_slice(b"\r\n");
    }
    all.extend_from_slice(b"0\r\n\r\n");
    all
}
