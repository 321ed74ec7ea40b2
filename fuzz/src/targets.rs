//! One function for each parser: it takes any bytes, must not panic, and holds what comes out against what it should be.
//!
//! cargo-fuzz calls these through `fuzz_targets/`; the library's tests run them over the corpus and over variations of it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use spindrift::cache::entry::Entry;
use spindrift::cache::partial::Partial;
use spindrift::cache::{invalidate, tags};
use spindrift::config::{
    Config, HostPort, Origin, Secret, SessionConfig, format_duration, parse_duration, parse_size,
};
use spindrift::event::Envelope;
use spindrift::field::cache_control::{RequestDirectives, ResponseDirectives};
use spindrift::field::conditional::{EntityTag, not_modified, validate_with};
use spindrift::field::no_vary_search::SearchVariance;
use spindrift::field::range::{ContentRange, Ranges};
use spindrift::field::targeted::{Governing, Targets};
use spindrift::field::validator::if_range_holds;
use spindrift::field::vary::{Vary, selecting_value};
use spindrift::field::{accept, cookies, forward, groups, hop};
use spindrift::job::{Cron, LeaseToken};
use spindrift::pipeline::warm::Warm;
use spindrift::purge::Purge;
use spindrift::redis::{Value, exactly};
use spindrift::session::{Changes, Cookie, Data, Handle, KeyRing, Presented};
use spindrift::time::Timestamp;
use spindrift::topic::{EventId, Pattern, Position, TopicName, cursor, sse, token};
use spindrift::webhook::{KeyRing as WebhookKeys, KeyRings, SigningKey};
use std::time::Duration;

/// A parser under test.
pub type Target = fn(&[u8]);

/// All of them, each with the name of its corpus.
pub const ALL: &[(&str, Target)] = &[
    ("accept", accept_fields),
    ("address", address),
    ("cache_control", cache_control),
    ("conditions", conditions),
    ("config", config),
    ("content_range", content_range),
    ("cookies", cookie_fields),
    ("cron", cron),
    ("cursor", last_event_id),
    ("date", date),
    ("duration", duration),
    ("entry", entry),
    ("envelope", envelope),
    ("forwarded", forwarded),
    ("json", json),
    ("no_vary_search", no_vary_search),
    ("partial", partial),
    ("purge", purge),
    ("range", range),
    ("redis_reply", redis_reply),
    ("session_token", session_token),
    ("sse", server_sent_event),
    ("stream_token", stream_token),
    ("tags", tag_fields),
    ("targeted", targeted),
    ("url", url),
    ("vary", vary),
    ("webhook_key", webhook_key),
];

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Each line of `data` that can be one is a line of the field.
#[allow(clippy::needless_pass_by_value, reason = "names are constants")]
fn lines(name: HeaderName, data: &[u8]) -> HeaderMap {
    let values = data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
    values.map(|value| (name.clone(), value)).collect()
}

/// Each line `name: value` that can be one is a field.
fn fields(data: &[u8]) -> HeaderMap {
    let field = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let value = HeaderValue::from_bytes(line.get(at + 1..)?.trim_ascii()).ok()?;
        Some((HeaderName::from_bytes(line.get(..at)?).ok()?, value))
    };
    data.split(|byte| *byte == b'\n').filter_map(field).collect()
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// `Accept-Encoding` and `Accept-Language` are reduced once and for all, and to nothing that was not offered.
pub fn accept_fields(data: &[u8]) {
    let offered = ["br", "gzip", "zstd"].map(str::to_owned);
    let mut headers = lines(http::header::ACCEPT_ENCODING, data);
    accept::reduce_encoding(&mut headers, &offered);
    let once = headers.clone();
    accept::reduce_encoding(&mut headers, &offered);
    assert_eq!(headers, once);
    // Where one line is no text, all stay as they are, and are compared byte for byte.
    let lines_of_text: Result<Vec<&str>, _> =
        headers.get_all(http::header::ACCEPT_ENCODING).iter().map(HeaderValue::to_str).collect();
    for line in lines_of_text.unwrap_or_default() {
        let known = |coding: &str| {
            let name = coding.split(';').next().unwrap_or_default().trim();
            name.is_empty() || ["identity", "*"].contains(&name) || offered.iter().any(|one| one == name)
        };
        assert!(line.split(',').all(known), "{line}");
    }
    let languages = ["en", "de"].map(str::to_owned);
    let mut headers = lines(http::header::ACCEPT_LANGUAGE, data);
    accept::reduce_language(&mut headers, &languages);
    let once = headers.clone();
    accept::reduce_language(&mut headers, &languages);
    assert_eq!(headers, once);
}

/// Hosts, ports and the address of the origin.
pub fn address(data: &[u8]) {
    let text = text(data);
    if let Some(place) = HostPort::parse(&text) {
        assert!(!place.host().is_empty());
    }
    if let Some(origin) = Origin::parse(&text) {
        assert!(["http", "https"].contains(&origin.scheme().as_str()));
    }
}

/// `Cache-Control`: what forbids is heard in front of anything.
pub fn cache_control(data: &[u8]) {
    let said = lines(http::header::CACHE_CONTROL, data);
    let _ = (RequestDirectives::of(&said), ResponseDirectives::of(&said).forbids_stale());
    let mut stricter = lines(http::header::CACHE_CONTROL, b"no-store, must-revalidate");
    for line in said.get_all(http::header::CACHE_CONTROL) {
        stricter.append(http::header::CACHE_CONTROL, line.clone());
    }
    let directives = ResponseDirectives::of(&stricter);
    assert!(directives.no_store && directives.forbids_stale());
    assert!(RequestDirectives::of(&stricter).no_store);
}

/// `If-*`, and the validators they are compared with: request and response are separated by an empty line.
pub fn conditions(data: &[u8]) {
    let at = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (mut request, response) = (fields(&data[..at]), fields(data.get(at..).unwrap_or_default()));
    let _ = (not_modified(&request, &response), if_range_holds(&request, &response));
    let _ = Ranges::of(&Method::GET, &request, 16);
    let text = text(data);
    if let Some(tag) = EntityTag::parse(&text) {
        assert!(tag.weak_eq(&tag) && tag.strong_eq(&tag) == tag.is_strong());
    }
    let _ = validate_with(&mut request, &response);
}

/// `spindrift.toml`: a configuration, or problems that say where.
pub fn config(data: &[u8]) {
    match Config::parse(&text(data), "f") {
        Ok(config) => drop(config.route("h", "/a").clone()),
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
}

/// `Content-Range`: what is understood is written again the same.
pub fn content_range(data: &[u8]) {
    if let Some(range) = ContentRange::parse(&text(data)) {
        assert_eq!(ContentRange::parse(&range.to_string()), Some(range));
    }
}

/// `Cookie`: what is kept selects as before, and ours is taken out whole.
pub fn cookie_fields(data: &[u8]) {
    let mut headers = lines(http::header::COOKIE, data);
    let before = (cookies::values(&headers, "a"), cookies::values(&headers, "b"));
    let mut kept = headers.clone();
    cookies::retain(&mut kept, &["a".to_owned(), "b".to_owned()]);
    assert_eq!((cookies::values(&kept, "a"), cookies::values(&kept, "b")), before);
    let cookie = Cookie::new(&SessionConfig::default(), &Uri::from_static("https://h/"));
    let _ = cookie.take(&mut headers);
    assert_eq!(cookie.take(&mut headers), Presented::Nothing);
}

/// Cron expressions: the next slot is later.
pub fn cron(data: &[u8]) {
    let text = text(data);
    // What is long is refused before it gets here.
    if let Ok(cron) = Cron::parse(text.get(..100).unwrap_or(&text), NOW) {
        assert!(cron.next(NOW).is_none_or(|next| next > NOW));
    }
}

/// `Last-Event-ID`: what is understood is written again the same.
pub fn last_event_id(data: &[u8]) {
    let topics: Vec<TopicName> =
        ["orders", "mail"].iter().filter_map(|name| TopicName::new(name).ok()).collect();
    let text = text(data);
    for topics in [&topics[..1], &topics[..]] {
        let Ok(places) = cursor::read(&text, topics) else { continue };
        let known: Option<Vec<(TopicName, Position)>> =
            topics.iter().zip(&places).map(|(topic, place)| Some((topic.clone(), (*place)?))).collect();
        if let Some(known) = known {
            assert_eq!(cursor::read(&cursor::write(&known), topics), Ok(places));
        }
    }
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string(), text);
    }
}

/// HTTP dates: what is understood is written as RFC 9110 wants it, and read again the same.
pub fn date(data: &[u8]) {
    if let Some(time) = Timestamp::from_http_date(&text(data)) {
        assert_eq!(Timestamp::from_http_date(&time.to_http_date()), Some(time));
    }
}

/// Durations and sizes of the configuration.
pub fn duration(data: &[u8]) {
    let text = text(data);
    let _ = parse_size(&text);
    if let Some(duration) = parse_duration(&text) {
        assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
    }
}

/// The head of an entry: its checksum, length and the content behind it are made to fit, so that what is damaged is found by
/// what it says.
pub fn entry(data: &[u8]) {
    let _ = Entry::decode(&Bytes::copy_from_slice(data));
    let (version, head) = (4, data);
    let mut sealed = vec![version];
    sealed.extend_from_slice(&checksum(head).to_be_bytes());
    sealed.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes());
    sealed.extend_from_slice(head);
    if let Ok(entry) = Entry::decode(&sealed.into()) {
        assert_eq!(Entry::decode(&entry.encode().into()), Ok(entry));
    }
}

/// The checksum of entries.
pub fn checksum(bytes: &[u8]) -> u32 {
    twox_hash::XxHash3_64::oneshot(bytes) as u32
}

/// Messages on the channel.
pub fn envelope(data: &[u8]) {
    if let Err(error) = Envelope::decode(data) {
        assert!(!error.to_string().is_empty());
    }
}

/// `Forwarded`, `X-Forwarded-For`, `Via`, `CDN-Loop`, `Connection`.
pub fn forwarded(data: &[u8]) {
    let mut headers = fields(data);
    for field in ["forwarded", "x-forwarded-for"] {
        let text = format!("[client]\ntrusted_proxies = [\"10.0.0.0/8\"]\nforwarding_field = \"{field}\"");
        if let Ok(config) = Config::parse(&text, "f") {
            let peer = Some(std::net::IpAddr::from([10, 0, 0, 1]));
            assert!(config.client.client(peer, &headers).is_some());
            let unknown = Some(std::net::IpAddr::from([192, 0, 2, 1]));
            assert_eq!(config.client.client(unknown, &headers), unknown, "nobody trusted speaks for them");
        }
    }
    let _ = (forward::client_address(&headers), forward::loops(&headers, "spindrift"));
    let here = forward::Hop { client: None, host: "h\"\\", scheme: "http", forwarded: true };
    forward::announce(&mut headers, &here, "spindrift");
    assert!(forward::loops(&headers, "spindrift"));
    hop::strip(&mut headers);
    let once = headers.clone();
    hop::strip(&mut headers);
    assert_eq!(headers, once);
}

/// Contents of the API, and what sessions hold.
pub fn json(data: &[u8]) {
    if let Ok(warm) = serde_json::from_slice::<Warm>(data) {
        let _ = warm.targets();
    }
    if let Ok(found) = Data::parse(data) {
        assert_eq!(Data::parse(found.to_json().as_bytes()).map(|again| again.to_json()), Ok(found.to_json()));
        if let Ok(changes) = Changes::parse(data) {
            let mut changed = Data::default();
            changed.apply(&changes);
            assert!(changed.size() <= found.size());
        }
    }
}

/// `No-Vary-Search`: what is kept of it says the same, and a query that stands for others stands for itself.
pub fn no_vary_search(data: &[u8]) {
    let name = HeaderName::from_static("no-vary-search");
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let query = text(data.get(at + 1..).unwrap_or_default());
    if let Some(variance) = SearchVariance::of(&lines(name, &data[..at])) {
        // What is long when it is written with escapes may be too long to be read.
        let written = variance.to_field();
        if written.len() <= 1024 {
            assert_eq!(SearchVariance::from_field(written.as_bytes()), Some(variance.clone()));
        }
        let once = variance.canonical(Some(&query));
        assert_eq!(variance.canonical(once.as_deref()), once);
    }
}

/// Records of parts, whose checksum and length are made to fit.
pub fn partial(data: &[u8]) {
    let _ = Partial::decode(&Bytes::copy_from_slice(data));
    let mut sealed = vec![b'Q'];
    sealed.extend_from_slice(&checksum(data).to_be_bytes());
    sealed.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    sealed.extend_from_slice(data);
    if let Ok(partial) = Partial::decode(&sealed.into()) {
        assert!(partial.runs().iter().all(|run| run.span.end() <= partial.complete()));
        assert_eq!(Partial::decode(&partial.encode().into()).as_ref(), Ok(&partial));
    }
}

/// What is to be purged: as JSON, and the text itself as each kind of target.
pub fn purge(data: &[u8]) {
    if let Ok(purge) = serde_json::from_slice::<Purge>(data) {
        let _ = purge.targets();
    }
    let list = vec![text(data)];
    for purge in [
        Purge { urls: list.clone(), ..Purge::default() },
        Purge { tags: list.clone(), ..Purge::default() },
        Purge { patterns: list.clone(), ..Purge::default() },
        Purge { prefixes: list.clone(), ..Purge::default() },
    ] {
        match purge.targets() {
            Ok(targets) => assert_eq!(targets.len(), 1),
            Err(problems) => assert!(!problems.is_empty()),
        }
    }
    if let (Some(pattern), Ok(name)) = (Pattern::new(&list[0]), TopicName::new(&list[0])) {
        assert!(pattern.matches(&name), "a pattern matches itself as a name");
    }
}

/// `Range`: written again the same, coalesced once and for all, within what there is.
pub fn range(data: &[u8]) {
    let Some(ranges) = Ranges::parse(&text(data), 16) else { return };
    assert!((1..=16).contains(&ranges.count()));
    assert_eq!(Ranges::parse(&ranges.to_string(), 16), Some(ranges.clone()));
    let coalesced = ranges.coalesced();
    assert_eq!(coalesced.coalesced(), coalesced);
    for complete in [0, 1, 1000, u64::MAX >> 1] {
        let spans = ranges.of_representation(complete);
        assert!(spans.iter().all(|span| span.end() <= complete && span.length() > 0));
    }
}

/// Replies of Redis, as Spin gives them: each line is one value, by its first byte.
pub fn redis_reply(data: &[u8]) {
    let value = |line: &[u8]| match line.split_first() {
        None => Value::Nil,
        Some((b'+', rest)) => Value::Status(text(rest)),
        Some((b':', rest)) => Value::Int(text(rest).parse().unwrap_or(i64::MIN)),
        Some((_, rest)) => Value::Bytes(rest.to_vec()),
    };
    let reply: Vec<Value> = data.split(|byte| *byte == b'\n').map(value).collect();
    for value in &reply {
        let _ = (value.int(), value.clone().bytes());
    }
    let count = reply.len();
    assert_eq!(exactly::<3>(reply).is_ok(), count == 3);
    let _ = (text(data).parse::<Position>(), Handle::parse(&text(data)));
}

/// Tokens of sessions and leases: nobody signs by chance.
pub fn session_token(data: &[u8]) {
    let ring = KeyRing::new("session", vec![Secret::new("0123456789abcdef0123456789abcdef".to_owned())]);
    assert!(ring.verify(&text(data)).is_none());
    let _ = text(data).parse::<LeaseToken>();
}

/// Server-Sent Events: no data ends an event or begins another field.
pub fn server_sent_event(data: &[u8]) {
    let mut out = String::new();
    sse::event(&mut out, "1-0", "kind", &text(data));
    let (event, rest) = out.split_once("\n\n").unwrap_or_default();
    assert_eq!(rest, "");
    let known = |line: &str| {
        ["id: 1-0", "event: kind"].contains(&line) || line.starts_with("data: ") || line == "data:"
    };
    assert!(event.split(['\n', '\r']).all(known), "{out:?}");
}

/// Tokens for streams: nobody signs by chance, and what is signed is good.
pub fn stream_token(data: &[u8]) {
    let key = Secret::new("0123456789abcdef0123456789abcdef".to_owned());
    let keys = [key];
    assert!(token::verify(&keys, &text(data), NOW).is_err());
    if let Some(pattern) = Pattern::new(&text(data)) {
        let (signed, _) = token::sign(&keys[0], &[pattern], Duration::from_secs(60), NOW);
        // What is too long is no token.
        let _ = token::verify(&keys, &signed, NOW);
    }
}

/// `Cache-Tag`, `Surrogate-Key` and `Cache-Groups`: bounded, each once.
pub fn tag_fields(data: &[u8]) {
    let headers = fields(data);
    let found = tags::tags(&headers, "http://h");
    assert!(found.len() <= tags::MAX_TAGS && found.is_sorted());
    assert!(found.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(found.iter().all(|tag| tag.len() <= tags::MAX_TAG));
    let _ = groups::named(&lines(groups::CACHE_GROUPS, data), &groups::CACHE_GROUPS);
    let _ = invalidate::groups("http://h", StatusCode::OK, &headers);
}

/// Targeted fields: without a valid one `Cache-Control` decides.
pub fn targeted(data: &[u8]) {
    let headers = fields(data);
    let governing = Governing::of(&headers, &Targets::default());
    assert!(governing.targeted || governing.directives == ResponseDirectives::of(&headers));
}

/// `Location` and `Content-Location`: what they lead to is of the same origin.
pub fn url(data: &[u8]) {
    let target = Uri::from_static("https://shop.example/a/b?c");
    let mut response = lines(http::header::LOCATION, data);
    if let Ok(value) = HeaderValue::from_bytes(data) {
        response.insert(http::header::CONTENT_LOCATION, value);
    }
    for uri in invalidate::targets(&target, StatusCode::OK, &response) {
        let authority = uri.authority().map(|authority| authority.as_str().to_ascii_lowercase());
        assert_eq!(uri.scheme(), target.scheme());
        assert!(matches!(authority.as_deref(), Some("shop.example" | "shop.example:443")), "{uri}");
    }
    let _ = Warm { urls: vec![text(data)] }.targets();
}

/// `Vary`: sorted, each once; the value of a field is compared as it is compared.
pub fn vary(data: &[u8]) {
    let headers = lines(http::header::VARY, data);
    if let Vary::Fields(found) = Vary::of(&headers) {
        assert!(found.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
        let star = |line: &HeaderValue| {
            line.as_bytes().split(|byte| b", \t".contains(byte)).any(|member| member == b"*")
        };
        assert!(!headers.get_all(http::header::VARY).iter().any(star));
    }
    for name in [http::header::ACCEPT_LANGUAGE, HeaderName::from_static("x-a")] {
        let headers = lines(name.clone(), data);
        let Some(value) = selecting_value(&headers, &name).filter(|value| !value.contains(['\0', '"']))
        else {
            continue;
        };
        let again = lines(name.clone(), value.as_bytes());
        assert_eq!(selecting_value(&again, &name), Some(value));
    }
}

/// Keys of webhooks: what a key signs has the form of a signature.
pub fn webhook_key(data: &[u8]) {
    let text = text(data);
    let _ = KeyRings::parse(&text);
    if let Ok(key) = SigningKey::parse(&text) {
        assert_eq!(WebhookKeys::new(key).sign("id", 1, b"content").len(), "v1,".len() + 44);
    }
}
