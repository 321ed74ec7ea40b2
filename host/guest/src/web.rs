//! Requests and responses made by hand.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use spin_sdk::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use spin_sdk::wasip3::http::types::RequestOptions;
use spin_sdk::wasip3::http_compat::RequestOptionsExtension;

/// Sends the request described in the body: a URL in the first line, then `name: value` fields; a field
/// `timeout-ms` instead limits the wait for the first byte. Shows the response or the error.
pub(crate) async fn send(request: Request) -> String {
    let description = request.into_body().collect().await.map(|it| it.to_bytes()).unwrap_or_default();
    let description = String::from_utf8_lossy(&description).into_owned();
    match exchange(&description).await {
        Ok(text) => text,
        Err(problem) => format!("error: {problem}"),
    }
}

async fn exchange(description: &str) -> Result<String, String> {
    let mut lines = description.lines();
    let mut request = http::Request::get(lines.next().unwrap_or_default());
    let mut limit = None;
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        match name {
            "timeout-ms" => limit = value.parse::<u64>().ok(),
            _ => request = request.header(name, value),
        }
    }
    let mut request = request.body(Full::new(Bytes::new())).map_err(|e| e.to_string())?;
    if let Some(limit) = limit {
        let options = RequestOptions::new();
        options.set_first_byte_timeout(Some(limit * 1_000_000)).map_err(|e| format!("{e:?}"))?;
        request.extensions_mut().insert(RequestOptionsExtension(options));
    }
    let response = spin_sdk::http::send(request).await.map_err(|e| format!("{e:?}"))?;
    let mut text = format!("{}\n", response.status().as_u16());
    for (name, value) in response.headers() {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    let body = response.into_body().collect().await.map_err(|e| format!("body: {e:?}"))?.to_bytes();
    Ok(text + "\n" + &String::from_utf8_lossy(&body))
}

/// Answers with the status and body of `url`.
pub(crate) async fn forward(url: &str) -> (StatusCode, HeaderMap, String) {
    match spin_sdk::http::get(url).await {
        Ok(response) => {
            let status = response.status();
            let body = response.into_body().collect().await.map(|it| it.to_bytes()).unwrap_or_default();
            (status, HeaderMap::new(), String::from_utf8_lossy(&body).into_owned())
        }
        Err(error) => (StatusCode::BAD_GATEWAY, HeaderMap::new(), format!("{error:?}")),
    }
}

/// Answers with the header field `name=value`.
pub(crate) fn respond_with(field: &str) -> (StatusCode, HeaderMap, String) {
    let mut headers = HeaderMap::new();
    let (name, value) = field.split_once('=').unwrap_or((field, ""));
    if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
    (StatusCode::OK, headers, "body".to_owned())
}
