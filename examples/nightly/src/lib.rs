//! A task that cron starts on every machine, and that only one of them runs.
//!
//! | request | what it does |
//! |---|---|
//! | `POST /run` | runs the task: 200 when it is done, 409 if another machine is running it |
//! | `GET /report` | what the task last wrote |

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use spin_sdk::wasip3;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{self, ErrorCode};
use spindrift::app::Shared;
use spindrift::body::Body;
use spindrift::field::rate_limit::seconds;
use spindrift::lock::{Acquired, Checked, Demand, Fence, LeaseTime, Name, Owner, Renewed};
use spindrift::problem::Problem;
use spindrift::value::{NewValue, ValueKey};
use spindrift_adapter::SpinEnv;
use std::time::Duration;

/// How many steps the task has.
const STEPS: u32 = 4;

/// How long a lease lasts: longer than any step, but no longer than others should have to wait if this machine dies.
const LEASE: Duration = Duration::from_secs(10);

struct Nightly;

wasip3::http::service::export!(Nightly);

impl Guest for Nightly {
    async fn handle(request: types::Request) -> Result<types::Response, ErrorCode> {
        // Rather than `#[http_service]`, which hands the content over later than the head: see `answer`.
        spindrift_adapter::answer(request, serve).await
    }
}

async fn serve(request: Request<Body>) -> Result<Response<Body>, Problem> {
    let app = spindrift_adapter::app().await?;
    let shared = app.shared()?;
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/run") => run(shared, &Owner::random(&app.env)).await,
        (&Method::GET, "/report") => match shared.values.get(&ValueKey::new("report")?).await? {
            Some(report) => Ok(answer(StatusCode::OK, report.content)),
            None => Err(Problem::new(StatusCode::NOT_FOUND, "there is no report yet")),
        },
        _ => Err(Problem::new(StatusCode::NOT_FOUND, "expected POST /run or GET /report")),
    }
}

async fn run(shared: &Shared<SpinEnv>, owner: &Owner) -> Result<Response<Body>, Problem> {
    let name = Name::new("nightly")?;
    let demand = Demand::new(name.clone(), owner.clone(), LeaseTime::new(LEASE)?);
    let lease = match shared.locks.acquire(&demand).await? {
        Acquired::Granted(lease) => lease,
        Acquired::Held { ends_in } | Acquired::OtherPermits { ends_in, .. } => return Ok(held(ends_in)),
        Acquired::TooLate => return Err(lost("the lock came too late")),
    };
    let outcome = task(shared, &name, owner, lease.fence).await;
    // Whatever the outcome, the next run should not have to wait until the lease ends. It does if releasing fails.
    let _ = shared.locks.release(&name, owner).await;
    outcome
}

async fn task(
    shared: &Shared<SpinEnv>,
    name: &Name,
    owner: &Owner,
    fence: Fence,
) -> Result<Response<Body>, Problem> {
    for step in 1..=STEPS {
        work().await;
        // If the lease cannot be renewed, stop: another machine may have started.
        let Renewed::Prolonged(_) = shared.locks.renew(name, owner, LeaseTime::new(LEASE)?).await? else {
            return Err(lost(&format!("the lock was lost in step {step}")));
        };
    }
    write(shared, json!({"steps": STEPS, "fence": fence.get()}), fence).await
}

/// Writes the report, unless somebody with a later lease already did. A database would compare the fence in the
/// same statement: `UPDATE ... WHERE fence <= $1`.
async fn write(shared: &Shared<SpinEnv>, report: Value, fence: Fence) -> Result<Response<Body>, Problem> {
    if let Checked::Refused { .. } = shared.locks.check(&Name::new("report")?, fence).await? {
        return Err(lost("another has written since"));
    }
    let text = report.to_string();
    let value = NewValue::text(text.as_str());
    let set = shared.values.set(&ValueKey::new("report")?, &value, None).await;
    set.map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    Ok(answer(StatusCode::OK, text))
}

async fn work() {
    let millis = spin_sdk::variables::get("step_ms").await.ok().and_then(|text| text.parse().ok());
    spin_sdk::time::sleep(Duration::from_millis(millis.unwrap_or(500))).await;
}

fn held(ends_in: Duration) -> Response<Body> {
    let problem = Problem::new(StatusCode::CONFLICT, "another is at it").with("reason", "held");
    let mut response = problem.into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds(ends_in)));
    response
}

fn lost(detail: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, detail).with("reason", "lost")
}

fn answer(status: StatusCode, content: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(content.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
