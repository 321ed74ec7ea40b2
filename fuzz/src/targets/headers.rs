//! Header fields of requests and responses.

use super::{fields, lines, text};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use spindrift::cache::{invalidate, tags};
use spindrift::config::{Config, SessionConfig};
use spindrift::field::cache_control::{RequestDirectives, ResponseDirectives};
use spindrift::field::conditional::{EntityTag, not_modified, validate_with};
use spindrift::field::no_vary_search::SearchVariance;
use spindrift::field::range::{ContentRange, Ranges};
use spindrift::field::targeted::{Governing, Targets};
use spindrift::field::validator::if_range_holds;
use spindrift::field::vary::{Vary, selecting_value};
use spindrift::field::{accept, cookies, forward, groups, hop};
use spindrift::pipeline::warm::Warm;
use spindrift::session::{Cookie, Presented};
use spindrift::time::Timestamp;

/// `Accept-Encoding` and `Accept-Language`: reducing is idempotent, and yields only what was offered.
pub fn accept_fields(data: &[u8]) {
    let offered = ["br", "gzip", "zstd"].map(str::to_owned);
    let mut headers = lines(http::header::ACCEPT_ENCODING, data);
    accept::reduce_encoding(&mut headers, &offered);
    let once = headers.clone();
    accept::reduce_encoding(&mut headers, &offered);
    assert_eq!(headers, once);
    // If a line is not text, all lines stay unchanged, and are compared byte by byte.
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

/// `Cache-Control`: forbidding directives take effect, whatever follows them.
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

/// `If-*`, and the validators that they are compared with: an empty line separates request and response.
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

/// `Content-Range`: a parsed value is formatted the same way again.
pub fn content_range(data: &[u8]) {
    if let Some(range) = ContentRange::parse(&text(data)) {
        assert_eq!(ContentRange::parse(&range.to_string()), Some(range));
    }
}

/// `Cookie`: the kept cookies select as before, and ours is removed completely.
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

/// HTTP dates: a parsed date is formatted as in RFC 9110, and parsed to the same date.
pub fn date(data: &[u8]) {
    if let Some(time) = Timestamp::from_http_date(&text(data)) {
        assert_eq!(Timestamp::from_http_date(&time.to_http_date()), Some(time));
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

/// `No-Vary-Search`: its stored form means the same, and the canonical query of a canonical query is itself.
pub fn no_vary_search(data: &[u8]) {
    let name = HeaderName::from_static("no-vary-search");
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let query = text(data.get(at + 1..).unwrap_or_default());
    if let Some(variance) = SearchVariance::of(&lines(name, &data[..at])) {
        // A value that is long when written with escapes may be too long to be parsed.
        let written = variance.to_field();
        if written.len() <= 1024 {
            assert_eq!(SearchVariance::from_field(written.as_bytes()), Some(variance.clone()));
        }
        let once = variance.canonical(Some(&query));
        assert_eq!(variance.canonical(once.as_deref()), once);
    }
}

/// `Range`: formatted the same way again; coalescing is idempotent and stays within the content.
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

/// `Cache-Tag`, `Surrogate-Key` and `Cache-Groups`: bounded, without repetition.
pub fn tag_fields(data: &[u8]) {
    let headers = fields(data);
    let found = tags::tags(&headers, "http://h");
    assert!(found.len() <= tags::MAX_TAGS && found.is_sorted());
    assert!(found.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(found.iter().all(|tag| tag.len() <= tags::MAX_TAG));
    let _ = groups::named(&lines(groups::CACHE_GROUPS, data), &groups::CACHE_GROUPS);
    let _ = invalidate::groups("http://h", StatusCode::OK, &headers);
}

/// Targeted fields: without a valid one, `Cache-Control` applies.
pub fn targeted(data: &[u8]) {
    let headers = fields(data);
    let governing = Governing::of(&headers, &Targets::default());
    assert!(governing.targeted || governing.directives == ResponseDirectives::of(&headers));
}

/// `Location` and `Content-Location`: the resulting URLs have the same origin.
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

/// `Vary`: sorted, without repetition; normalising the value of a field is idempotent.
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
