//! From a request to a response, whether it comes from the network or another component.

use super::handler::HttpComponent;
use super::headers;
use super::route::{Destination, RouteMatch, Router};
use crate::app::Shared;
use crate::console::error_line;
use crate::manifest::StaticResponse;
use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use wasmtime_wasi_http::{Error, WasiBody};

/// The prefix of the host's own paths.
pub(crate) const WELL_KNOWN: &str = "/.well-known/spin/";

/// The client's address of a request from inside the app.
const INSIDE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Everything that answers requests.
pub(crate) struct Front {
    pub(crate) router: Router,
    /// The components named by HTTP triggers, by id.
    pub(crate) components: BTreeMap<String, HttpComponent>,
    /// The static responses, by index of the HTTP trigger.
    pub(crate) fixed: BTreeMap<usize, StaticResponse>,
    /// The JSON at `/.well-known/spin/info`.
    pub(crate) info: String,
}

/// Answers a request from the network.
///
/// # Errors
/// The request has no host, or two, or no path: Spin does not respond to these but closes the connection,
/// so that nobody can be misled about whom the request was for.
pub(crate) async fn answer(
    front: &Front,
    mut request: Request<WasiBody>,
    client: SocketAddr,
) -> Result<Response<WasiBody>, String> {
    headers::strip(request.headers_mut());
    let path = request.uri().path();
    if let Some(name) = path.strip_prefix(WELL_KNOWN) {
        return Ok(well_known(front, name));
    }
    match front.router.find(path) {
        Some(found) => answer_route(front, request, &found, client).await,
        None => Ok(status(StatusCode::NOT_FOUND)),
    }
}

/// Answers a request of one component to another, without leaving the process.
///
/// # Errors
/// No HTTP trigger names the component.
pub(crate) async fn chain(
    app: &Shared,
    component: &str,
    request: Request<WasiBody>,
) -> Result<Response<WasiBody>, Error> {
    let internal = |what| Error::InternalError(Some(what));
    if !app.front.components.contains_key(component) {
        return Err(internal(format!("expected a component with an HTTP trigger, found {component:?}")));
    }
    let found = RouteMatch::chained(component, request.uri().path());
    // Boxed, because the component may send a request in turn, and so on.
    let answered: std::pin::Pin<Box<dyn Future<Output = _> + Send>> =
        Box::pin(answer_route(&app.front, request, &found, INSIDE));
    answered.await.map_err(internal)
}

async fn answer_route(
    front: &Front,
    mut request: Request<WasiBody>,
    found: &RouteMatch,
    client: SocketAddr,
) -> Result<Response<WasiBody>, String> {
    *request.uri_mut() = absolute(&request)?;
    match &found.destination {
        Destination::Fixed(trigger) => {
            Ok(front.fixed.get(trigger).map_or_else(|| status(StatusCode::NOT_FOUND), fixed))
        }
        Destination::Component(id) => {
            Ok(run(front, id, request, found, client).await.unwrap_or_else(|problem| {
                error_line(format_args!("component {id}: {problem}"));
                status(StatusCode::INTERNAL_SERVER_ERROR)
            }))
        }
    }
}

async fn run(
    front: &Front,
    id: &str,
    mut request: Request<WasiBody>,
    found: &RouteMatch,
    client: SocketAddr,
) -> Result<Response<WasiBody>, String> {
    let component = front.components.get(id).ok_or("expected a component with an HTTP trigger")?;
    let uri = request.uri().clone();
    headers::append(request.headers_mut(), &uri, found, client)?;
    component.handler.handle((), request).await.map_err(|e| format!("{e:?}"))
}

/// Returns the request's URI with scheme and authority, from wherever the request has them.
fn absolute(request: &Request<WasiBody>) -> Result<Uri, String> {
    let host = request.headers().get(HOST).map(|it| {
        let text = it.to_str().map_err(|_| "Host: expected ASCII, found other bytes")?;
        text.parse::<Authority>().map_err(|_| "Host: expected a host and port, found something else")
    });
    let mut parts = request.uri().clone().into_parts();
    let authority = match (host.transpose()?, parts.authority) {
        (None, None) => return Err("expected a Host, found none".to_owned()),
        (Some(host), Some(uri)) if host != uri => return Err("expected Host and URI to agree".to_owned()),
        (Some(it), _) | (None, Some(it)) => it,
    };
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    Uri::from_parts(parts).map_err(|e| format!("URI: {e}"))
}

fn well_known(front: &Front, name: &str) -> Response<WasiBody> {
    match name {
        "health" => with_body(Response::new(()), "OK".to_owned()),
        "info" => {
            let mut response = with_body(Response::new(()), front.info.clone());
            let json = http::HeaderValue::from_static("application/json");
            response.headers_mut().insert(http::header::CONTENT_TYPE, json);
            response
        }
        _ => status(StatusCode::NOT_FOUND),
    }
}

fn fixed(it: &StaticResponse) -> Response<WasiBody> {
    let builder = Response::builder().status(it.status_code.unwrap_or(200));
    let built =
        it.headers.iter().fold(builder, |builder, (name, value)| builder.header(name, value)).body(());
    // The check of the manifest has built the same response before.
    built.map_or_else(
        |_| status(StatusCode::INTERNAL_SERVER_ERROR),
        |head| with_body(head, it.body.clone().unwrap_or_default()),
    )
}

fn status(status: StatusCode) -> Response<WasiBody> {
    let mut response = with_body(Response::new(()), String::new());
    *response.status_mut() = status;
    response
}

fn with_body(head: Response<()>, text: String) -> Response<WasiBody> {
    head.map(|()| Full::new(Bytes::from(text)).map_err(|e| match e {}).boxed_unsync())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(target: &str, host: Option<&str>) -> Result<String, String> {
        let mut request = Request::builder().uri(target);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let body = Full::new(Bytes::new()).map_err(|e| match e {}).boxed_unsync();
        absolute(&request.body(body).unwrap()).map(|it| it.to_string())
    }

    #[test]
    fn the_host_becomes_part_of_the_uri() {
        assert_eq!(uri("/a?b", Some("h:1")).unwrap(), "http://h:1/a?b");
        assert_eq!(uri("http://h:1/a", None).unwrap(), "http://h:1/a");
        assert_eq!(uri("http://h:1/a", Some("h:1")).unwrap(), "http://h:1/a");
    }

    #[test]
    fn no_host_two_hosts_and_no_path_are_errors() {
        assert!(uri("h:80", None).is_err() && uri("h", Some("h")).is_err());
        assert!(uri("/a", None).is_err());
        assert!(uri("http://a/", Some("b")).is_err());
        assert!(uri("/", Some("a b")).is_err());
    }

    #[tokio::test]
    async fn fixed_responses_have_status_headers_and_body() {
        let response = fixed(&StaticResponse {
            status_code: Some(201),
            headers: BTreeMap::from([("x-a".to_owned(), "b".to_owned())]),
            body: Some("text".to_owned()),
        });
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["x-a"], "b");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "text");
    }
}
