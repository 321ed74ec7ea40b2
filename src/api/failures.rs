//! The limit of wrong tokens from one client address.
//!
//! It only bounds the noise and the load that guessing causes: a right token is always accepted. If guesses
//! could lock it out, so could anybody behind the same proxy. Only a long token protects against guessing.

use crate::app::App;
use crate::body::Body;
use crate::config::Config;
use crate::env::Env;
use crate::limit::{Algorithm, Demand, KeyPart, Mode, Policy, Quota, Subject};
use crate::problem::Problem;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Response, StatusCode};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// The name of the policy, in metrics, too.
pub(crate) const NAME: &str = "api-failures";

const PERIOD: Duration = Duration::from_secs(60);

/// Returns the policy; `None` if any number is allowed. Without Redis each instance counts for itself.
fn policy(config: &Config) -> Option<Policy> {
    let quota = Quota::new(NonZeroU32::new(config.api.failures)?, PERIOD).ok()?;
    let policy = Policy::new(NAME, Algorithm::Gcra, quota).ok()?;
    Some(policy.with_mode(Mode::Local { instances: NonZeroU32::MIN }))
}

/// Counts a wrong token of `client`. Returns its `answer`, or 429 once there are too many.
pub(super) async fn count<E: Env>(
    app: &App<E>,
    client: Option<IpAddr>,
    answer: Response<Body>,
) -> Response<Body> {
    let Some(policy) = policy(&app.config) else { return answer };
    let headers = HeaderMap::new();
    let subject = Subject {
        client,
        headers: &headers,
        method: "",
        host: "",
        path: "",
        route: "",
        session: None,
        user: None,
    };
    let identity = app.limiter.identifier().of(&[KeyPart::Client], &subject);
    let demand = Demand { policy: &policy, identity: &identity, cost: 1 };
    let decision = app.limiter.check(&[demand]).await;
    if decision.allowed {
        return answer;
    }
    let detail =
        format!("expected at most {} wrong tokens a minute from one address", app.config.api.failures);
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).of_type(
        "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "Request cannot be satisfied as assigned quota has been exceeded",
    );
    let mut response = problem.with("violated-policies", vec![NAME]).into_response();
    let wait = decision.retry_after().unwrap_or(PERIOD);
    response.headers_mut().insert(RETRY_AFTER, super::seconds::retry_after(wait).into());
    response
}
