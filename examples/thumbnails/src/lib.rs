//! Thumbnails that are made by a worker, while no visitor waits.
//!
//! | request | what it does |
//! |---|---|
//! | `POST /thumbnails` `{"image":"a.png","width":100}` | enqueues a job: 202 with its id |
//! | `GET /thumbnails/{id}` | the state of the job |
//! | `POST /work` | claims the jobs that are due and does them; call it from any scheduler, as often as you like |

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use spin_sdk::wasip3;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{self, ErrorCode};
use spindrift::body::Body;
use spindrift::job::{Claim, Claimed, Data, IdempotencyKey, JobError, JobId, Jobs, NewJob, QueueName};
use spindrift::problem::Problem;
use spindrift_adapter::SpinEnv;
use std::fmt::Display;
use std::time::Duration;

/// How much of a request's content is read, in bytes.
const MAX_CONTENT: usize = 64 * 1024;

/// How many jobs a call of `/work` claims.
const BATCH: u16 = 10;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thumbnail {
    image: String,
    width: u32,
}

/// What came of the jobs.
#[derive(Default, Serialize)]
struct Tally {
    done: u32,
    retried: u32,
    buried: u32,
    lost: u32,
}

struct Thumbnails;

wasip3::http::service::export!(Thumbnails);

impl Guest for Thumbnails {
    async fn handle(request: types::Request) -> Result<types::Response, ErrorCode> {
        // Rather than `#[http_service]`, which hands the content over later than the head: see `answer`.
        spindrift_adapter::answer(request, serve).await
    }
}

async fn serve(request: Request<Body>) -> Result<Response<Body>, Problem> {
    let app = spindrift_adapter::app().await?;
    let jobs = &app.shared()?.jobs;
    let queue = QueueName::new("thumbnails").map_err(|error| bad(&error))?;
    let path = request.uri().path().to_owned();
    match (request.method().clone(), path.as_str()) {
        (Method::POST, "/thumbnails") => enqueue(jobs, &queue, request).await,
        (Method::POST, "/work") => work(jobs, &queue).await,
        (Method::GET, path) => match path.strip_prefix("/thumbnails/") {
            Some(id) => look(jobs, &queue, id).await,
            None => Err(Problem::new(StatusCode::NOT_FOUND, "expected /thumbnails/{id}")),
        },
        _ => Err(Problem::new(StatusCode::NOT_FOUND, "expected POST /thumbnails or POST /work")),
    }
}

async fn enqueue(
    jobs: &Jobs<SpinEnv>,
    queue: &QueueName,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let content = request.into_body().collect(MAX_CONTENT).await.map_err(|error| bad(&error))?;
    let wanted: Thumbnail = serde_json::from_slice(&content).map_err(|error| bad(&error))?;
    // If it is requested twice, it is made once, even if the answer to the first request was lost.
    let name = format!("{}@{}", wanted.image, wanted.width);
    let once = IdempotencyKey::new(&name).map_err(|error| bad(&error))?;
    let data = Data::json(&wanted).map_err(|error| bad(&error))?;
    let job = NewJob::new(data).max_attempts(3).idempotency_key(once);
    let enqueued = jobs.enqueue_with(queue, job).await.map_err(|error| failed(&error))?;
    Ok(answer(StatusCode::ACCEPTED, &json!({"id": enqueued.id.as_str(), "new": enqueued.new})))
}

async fn look(jobs: &Jobs<SpinEnv>, queue: &QueueName, id: &str) -> Result<Response<Body>, Problem> {
    let id = JobId::new(id).map_err(|error| bad(&error))?;
    let view = jobs.view(queue, &id).await.map_err(|error| failed(&error))?;
    let shown = json!({"state": view.state.as_str(), "attempts": view.attempts, "error": view.error});
    Ok(answer(StatusCode::OK, &shown))
}

async fn work(jobs: &Jobs<SpinEnv>, queue: &QueueName) -> Result<Response<Body>, Problem> {
    let claim = Claim::default().count(BATCH).lease(Duration::from_secs(60));
    let mut tally = Tally::default();
    for claimed in jobs.claim(queue, claim).await.map_err(|error| failed(&error))? {
        let ended = handle_one(claimed, &mut tally).await;
        match ended {
            Ok(()) => {}
            // It took too long: the lease ran out, and the job may be with another worker by now.
            Err(JobError::LeaseLost | JobError::NoSuchJob) => tally.lost += 1,
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(answer(StatusCode::OK, &json!(tally)))
}

async fn handle_one(claimed: Claimed<'_, SpinEnv>, tally: &mut Tally) -> Result<(), JobError> {
    let wanted = match claimed.job.data.parse::<Thumbnail>() {
        Ok(wanted) if wanted.image.ends_with(".png") => wanted,
        // Another attempt would not help, so it becomes a dead letter at once.
        Ok(wanted) => {
            tally.buried += 1;
            return claimed.bury(&format!("expected a .png, found {:?}", wanted.image)).await.map(drop);
        }
        Err(error) => {
            tally.buried += 1;
            return claimed.bury(&error.to_string()).await.map(drop);
        }
    };
    match shrink(&wanted).await {
        Ok(()) => {
            tally.done += 1;
            claimed.ack().await
        }
        Err(error) => {
            // `claimed.retry(error)` would wait for the queue's backoff.
            tally.retried += 1;
            claimed.retry_after(Duration::from_millis(10), error).await.map(drop)
        }
    }
}

/// Stands in for the slow work, which sometimes fails.
async fn shrink(wanted: &Thumbnail) -> Result<(), &'static str> {
    spin_sdk::time::sleep(Duration::from_millis(20)).await;
    if wanted.image.starts_with("broken") { Err("the image cannot be read") } else { Ok(()) }
}

fn answer(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn bad(error: &dyn Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, error.to_string())
}

fn failed(error: &JobError) -> Problem {
    let status = match error {
        JobError::Redis(_) => StatusCode::SERVICE_UNAVAILABLE,
        JobError::NoSuchJob => StatusCode::NOT_FOUND,
        _ => StatusCode::CONFLICT,
    };
    Problem::new(status, error.to_string())
}
