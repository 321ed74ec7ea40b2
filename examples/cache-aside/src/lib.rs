//! Forecasts that take long to compute, each computed only once for all instances.
//!
//! | request | what it does with values |
//! |---|---|
//! | `GET /forecast/{city}` | get, or make and set: of many callers, one makes it |
//! | `HEAD /forecast/{city}` | exists |
//! | `PUT /forecast/{city}` | set |
//! | `DELETE /forecast/{city}` | delete |
//! | `DELETE /forecast` | invalidates a pattern: all of them |

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use spin_sdk::wasip3;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{self, ErrorCode};
use spindrift::body::Body;
use spindrift::problem::Problem;
use spindrift::value::{How, NewValue, Pattern, Tag, Terms, ValueKey, Values};
use spindrift_adapter::SpinEnv;
use std::fmt::Display;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How much of a request's content is read, in bytes.
const MAX_CONTENT: usize = 64 * 1024;

/// How long a forecast is kept.
const TTL: Duration = Duration::from_secs(60);

/// Says where a forecast comes from.
const FROM: HeaderName = HeaderName::from_static("forecast");

#[derive(Serialize, Deserialize)]
struct Forecast {
    city: String,
    degrees: i64,
    made_at: u128,
}

struct Forecasts;

wasip3::http::service::export!(Forecasts);

impl Guest for Forecasts {
    async fn handle(request: types::Request) -> Result<types::Response, ErrorCode> {
        // Rather than `#[http_service]`, which hands the content over later than the head: see `answer`.
        spindrift_adapter::answer(request, serve).await
    }
}

async fn serve(request: Request<Body>) -> Result<Response<Body>, Problem> {
    let app = spindrift_adapter::app().await?;
    let values = &app.shared()?.values;
    let path = request.uri().path().to_owned();
    match (request.method().clone(), path.strip_prefix("/forecast/"), path.as_str()) {
        (Method::GET, Some(city), _) => get(values, city).await,
        (Method::HEAD, Some(city), _) => {
            let exists = values.exists(&key(city)?).await?;
            Ok(empty(if exists { StatusCode::OK } else { StatusCode::NOT_FOUND }))
        }
        (Method::PUT, Some(city), _) => put(values, city, request).await,
        (Method::DELETE, Some(city), _) => {
            values.delete(&key(city)?).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        (Method::DELETE, None, "/forecast") => {
            values.invalidate(&[Pattern::new("forecast:*")?], &[]).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(Problem::new(StatusCode::NOT_FOUND, "expected /forecast/{city}")),
    }
}

async fn get(values: &Values<SpinEnv>, city: &str) -> Result<Response<Body>, Problem> {
    let terms = Terms { ttl: Some(TTL), ..Terms::default() };
    let made = values.get_or_set(&key(city)?, &terms, async || work_out(city).await).await;
    // Redis is never the reason for an error: without it, every caller makes its own.
    let filled = made.map_err(|error| failed(&error))?;
    let from = match filled.how {
        How::Found => "found",
        How::Stored => "made, and stored for all",
        How::NotStored => "made, and not stored",
    };
    let mut response = Response::new(Body::from(filled.value.content));
    let headers = response.headers_mut();
    headers.insert(FROM, HeaderValue::from_static(from));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Sets a forecast by hand.
async fn put(
    values: &Values<SpinEnv>,
    city: &str,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let content = request.into_body().collect(MAX_CONTENT).await.map_err(|error| failed(&error))?;
    let degrees = std::str::from_utf8(&content).ok().and_then(|text| text.trim().parse().ok());
    let Some(degrees) = degrees else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "expected a number of degrees"));
    };
    let value = value(city, degrees).map_err(|error| failed(&error))?;
    values.set(&key(city)?, &value, Some(TTL)).await.map_err(|error| failed(&error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Stands in for the slow computation.
async fn work_out(city: &str) -> Result<NewValue, Box<dyn std::error::Error>> {
    spin_sdk::time::sleep(Duration::from_millis(300)).await;
    value(city, city.bytes().map(i64::from).sum::<i64>() % 40 - 5)
}

fn value(city: &str, degrees: i64) -> Result<NewValue, Box<dyn std::error::Error>> {
    let made_at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let forecast = Forecast { city: city.to_owned(), degrees, made_at };
    Ok(NewValue::json(&forecast)?.tagged([Tag::new("forecasts")?])?)
}

fn key(city: &str) -> Result<ValueKey, Problem> {
    Ok(ValueKey::new(&format!("forecast:{city}"))?)
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

fn failed(error: &dyn Display) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}
