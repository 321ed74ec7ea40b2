//! Sessions in the request path: [`identify`], [`enter`], then the origin, [`settle`] and [`leave`].
//!
//! On routes without sessions, only our own fields are removed, in both directions, and our cookie.

mod visit;

pub use visit::Visit;

use super::{Answer, Incoming};
use crate::app::App;
use crate::cache::selecting::Digest;
use crate::config::{OnRedisFailure, Route, Visitor};
use crate::env::Env;
use crate::field::cache_status::{CacheStatus, Detail};
use crate::problem::Problem;
use crate::session::{Cookie, Fields, Handle, Presented, Session, User, Verified, answer};
use http::header::COOKIE;
use http::{HeaderMap, StatusCode, Uri};
use std::rc::Rc;
use visit::{failure, sessions};

/// Who sent a request, according to its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The session, which stays the same when its id changes. It exists, and is not merely claimed.
    pub session: Option<&'a Handle>,
    /// The user who is logged in.
    pub user: Option<&'a User>,
}

impl Incoming {
    /// Returns who sent the request. Nobody is known on routes without sessions.
    #[must_use]
    pub fn identity(&self) -> Identity<'_> {
        match self.visit.as_ref().map(|visit| visit.found()) {
            Some(Ok(session)) => Identity { session: session.handle(), user: session.user() },
            _ => Identity::default(),
        }
    }

    /// Returns why the session keeps this request from the cache: the route does not tell its visitor apart, or it is unknown.
    pub(super) fn kept_from_cache(&self, told_apart_by: Visitor) -> Option<Detail> {
        match self.visit.as_ref().map(|visit| visit.found())? {
            Ok(session) if self.told_apart(told_apart_by).is_none() => {
                session.handle().map(|_| Detail::Session)
            }
            Ok(_) => None,
            Err(reason) => Some(*reason),
        }
    }

    /// Returns what tells this visitor apart; `None` for one without a session, or whom the route does not tell apart.
    pub(super) fn told_apart(&self, by: Visitor) -> Option<Digest> {
        let Identity { session, user } = self.identity();
        let text = match by {
            Visitor::Nobody => None,
            Visitor::User => user.map(|user| user.as_str().to_owned()),
            Visitor::Session => session.map(Handle::to_string),
        }?;
        blake3::hash(text.as_bytes()).as_bytes().first_chunk().copied()
    }

    /// Returns whether the origin's answer read or changed a session, so that it is for nobody else. Where visitors are told
    /// apart it may have read one.
    pub(super) fn used_session(&self, told_apart_by: Visitor) -> bool {
        let read = |visit: &Visit| self.told_apart(told_apart_by).is_none() && visit.was_used();
        self.visit.as_ref().is_some_and(|visit| visit.was_changed() || read(visit))
    }
}

/// Removes our session fields, which are between us and the origin.
pub(super) fn strip<E: Env>(app: &App<E>, headers: &mut HeaderMap) {
    Fields::new(app.config.session.header.clone()).strip(headers);
}

/// Takes from a request what it claims, before Redis is asked anything: removes the client's own copies of our
/// fields, and our cookie, whose secret is none of the origin's business. The cookie is evaluated only on a route with
/// sessions.
pub(super) fn identify<E: Env>(app: &App<E>, route: &Route, incoming: &mut Incoming) -> Option<Claim> {
    strip(app, &mut incoming.headers);
    let nothing_to_take = route.session.is_none() && !incoming.headers.contains_key(COOKIE);
    if nothing_to_take || !app.config.uses_sessions() {
        return None;
    }
    let cookie = Cookie::new(&app.config.session, &incoming.uri);
    let presented = cookie.take(&mut incoming.headers);
    let session = route.session?;
    let claimed = match presented {
        Presented::Value(token) => app.ring.verify(&token),
        Presented::Nothing | Presented::Several => None,
    };
    Some(Claim { cookie, claimed, on_redis_failure: session.on_redis_failure })
}

/// Returns the session of a request that the cache sends for itself: there is none, and none begins. A response that
/// would begin one is for one visitor, and not stored.
pub(super) fn of_nobody<E: Env>(app: &App<E>, route: &Route, uri: &Uri) -> Option<Rc<Visit>> {
    let session = route.session?;
    Some(Rc::new(Visit::of_nobody(Cookie::new(&app.config.session, uri), session.on_redis_failure)))
}

/// The claim of a request to a session, on a route with sessions.
pub(super) struct Claim {
    cookie: Cookie,
    claimed: Option<Verified>,
    on_redis_failure: OnRedisFailure,
}

/// Loads the claimed session, and tells the origin about it. Without a claim Redis is not asked.
///
/// # Errors
/// The answer to the client, where the session cannot be loaded and the route refuses requests without it.
pub(super) async fn enter<E: Env>(
    app: &App<E>,
    claim: Option<Claim>,
    incoming: &mut Incoming,
) -> Result<(), Answer> {
    let Some(Claim { cookie, claimed, on_redis_failure }) = claim else { return Ok(()) };
    let found = match &claimed {
        None => Ok(Session::Absent),
        Some(verified) => load(app, verified).await,
    };
    if let (Err(reason), OnRedisFailure::Refuse) = (&found, on_redis_failure) {
        return Err(unavailable(*reason, "the session cannot be read"));
    }
    if let Ok(session) = &found {
        Fields::new(app.config.session.header.clone()).tell(&mut incoming.headers, session);
    }
    incoming.visit = Some(Rc::new(Visit::new(cookie, on_redis_failure, claimed, found)));
    Ok(())
}

async fn load<E: Env>(app: &App<E>, verified: &Verified) -> Result<Session, Detail> {
    let result = match sessions(app) {
        Ok(sessions) => sessions.load(&verified.id).await.map_err(|error| failure(&error)),
        Err(reason) => Err(reason),
    };
    match &result {
        Ok(Session::Replayed(handle)) => {
            app.env
                .log(&format!("the session {handle} was ended: an id that had been replaced was used again"));
        }
        Ok(_) => {}
        Err(reason) => {
            app.env.log(&format!("the session {} could not be read: {reason}", verified.id.handle()));
        }
    }
    result
}

fn unavailable(reason: Detail, detail: &str) -> Answer {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with("reason", reason.as_str());
    Answer { response: problem.into_response(), status: CacheStatus::default().because(reason) }
}

/// Takes the session instructions out of the origin's answer, and carries them out.
pub(super) async fn settle<E: Env>(app: &App<E>, incoming: &Incoming, headers: &mut HeaderMap) {
    let Some(visit) = &incoming.visit else { return strip(app, headers) };
    let fields = Fields::new(app.config.session.header.clone());
    let Some(change) = fields.take(headers).transpose() else { return };
    if let Err(why) = &change {
        app.env.log(&format!("{} {}: {why}", incoming.method, incoming.uri.path()));
    }
    if let Some(detail) = visit.settle(app, change.ok()).await {
        app.env.log(&format!("{} {}: not changed: {detail}", incoming.method, incoming.uri.path()));
    }
}

/// Like [`leave`], where [`Visit::is_to_sign`] says so.
pub(super) async fn sign_and_leave<E: Env>(app: &App<E>, visit: Rc<Visit>, answer: Answer) -> Answer {
    visit.sign_anew(app).await;
    leave(Some(visit), answer)
}

/// Finishes the answer: sets the cookie if there is a new one, and the fields that keep others from storing it.
pub(super) fn leave(visit: Option<Rc<Visit>>, answer: Answer) -> Answer {
    let Some(visit) = visit else { return answer };
    let Answer { mut response, mut status } = answer;
    let used = visit.was_used();
    let outcome = visit.take();
    if let Some(problem) = outcome.problem {
        response = problem.into_response();
    }
    let headers = response.headers_mut();
    if used {
        status.detail = outcome.detail.or(Some(Detail::Session));
        answer::keep_private(headers);
    }
    answer::vary_on_cookies(headers);
    answer::set_cookie(headers, visit.cookie(), outcome.set_cookie);
    Answer { response, status }
}
