//! The session of one request, and how it changes.

use crate::app::App;
use crate::config::OnRedisFailure;
use crate::env::Env;
use crate::field::cache_status::Detail;
use crate::problem::Problem;
use crate::session::{
    Change, Cookie, DataChange, Session, SessionError, SessionId, Sessions, Step, Times, Verified, decide,
};
use http::{HeaderValue, StatusCode};
use std::cell::RefCell;

/// The session of one request, from its arrival to its answer.
#[derive(Debug)]
pub struct Visit {
    cookie: Cookie,
    on_redis_failure: OnRedisFailure,
    claimed: Option<Verified>,
    /// What was found, or why Redis could not tell.
    found: Result<Session, Detail>,
    outcome: RefCell<Outcome>,
}

/// The effects of the session on the answer.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Whether the origin changed the session, or tried to.
    changed: bool,
    /// Whether no client is waiting, so that no session can begin.
    unattended: bool,
    /// The cookie for the client.
    pub(super) set_cookie: Option<HeaderValue>,
    /// The `detail` in `Cache-Status`, if it is more than that a session was used.
    pub(super) detail: Option<Detail>,
    /// The answer that replaces the origin's.
    pub(super) problem: Option<Problem>,
}

/// The outcome of a change.
enum Done {
    Nothing,
    Cookie(Option<HeaderValue>),
    /// It was not carried out, and the answer is sent all the same.
    Dropped(Detail),
    /// It was not carried out, and the answer must be an error.
    Refused(Detail, Problem),
}

impl Visit {
    pub(super) fn new(
        cookie: Cookie,
        on_redis_failure: OnRedisFailure,
        claimed: Option<Verified>,
        found: Result<Session, Detail>,
    ) -> Self {
        Self { cookie, on_redis_failure, claimed, found, outcome: RefCell::default() }
    }

    /// For a request that the cache sends for itself: there is nobody whose session could change.
    pub(super) fn of_nobody(cookie: Cookie, on_redis_failure: OnRedisFailure) -> Self {
        let outcome = RefCell::new(Outcome { unattended: true, ..Outcome::default() });
        Self { outcome, ..Self::new(cookie, on_redis_failure, None, Ok(Session::Absent)) }
    }

    pub(super) const fn cookie(&self) -> &Cookie {
        &self.cookie
    }

    pub(super) fn found(&self) -> &Result<Session, Detail> {
        &self.found
    }

    pub(super) fn take(&self) -> Outcome {
        self.outcome.take()
    }

    /// Carries out a change; `None` stands for an invalid one. Returns why nothing was changed, where that is so.
    pub(super) async fn settle<E: Env>(&self, app: &App<E>, change: Option<Change>) -> Option<Detail> {
        let unattended = self.outcome.borrow().unattended;
        let done = match change {
            _ if unattended => Done::Dropped(Detail::Session),
            Some(change) => self.change(app, change).await,
            None => {
                let detail = "the origin asked for an invalid change of the session";
                Done::Refused(Detail::SessionInvalid, Problem::new(StatusCode::BAD_GATEWAY, detail))
            }
        };
        let mut outcome = self.outcome.borrow_mut();
        outcome.changed = true;
        match done {
            Done::Nothing => {}
            Done::Cookie(cookie) => outcome.set_cookie = cookie,
            Done::Dropped(detail) => outcome.detail = Some(detail),
            Done::Refused(detail, problem) => {
                (outcome.detail, outcome.problem) = (Some(detail), Some(problem));
            }
        }
        outcome.detail
    }

    /// Returns whether an older key signed the id, and no change gave the client another one, or failed.
    pub(in crate::pipeline) fn is_to_sign(&self) -> bool {
        let old_key = self.claimed.as_ref().is_some_and(|claimed| claimed.old_key);
        let outcome = self.outcome.borrow();
        let settled = outcome.set_cookie.is_some() || outcome.detail.is_some();
        old_key && !settled && matches!(self.found, Ok(Session::Loaded(_)))
    }

    /// Signs the id again. Redis is asked once more: another request may have replaced the id meanwhile, and must not find
    /// the client with the previous one again. If Redis gives no answer, the next request is in time.
    pub(super) async fn sign_anew<E: Env>(&self, app: &App<E>) {
        let (Ok(sessions), Some(Verified { id, .. })) = (sessions(app), &self.claimed) else { return };
        if let Ok(Some(loaded)) = sessions.current(id).await {
            let cookie = self.cookie_of(app, id, loaded.times);
            self.outcome.borrow_mut().set_cookie = cookie;
        }
    }

    /// Returns whether the origin read the session or changed it.
    pub(super) fn was_used(&self) -> bool {
        let read = self.found.as_ref().is_ok_and(|session| session.handle().is_some());
        read || self.was_changed()
    }

    /// Returns whether the origin changed it, or tried to.
    pub(super) fn was_changed(&self) -> bool {
        self.outcome.borrow().changed
    }

    async fn change<E: Env>(&self, app: &App<E>, change: Change) -> Done {
        let ends = matches!(change, Change::End);
        let step = match &self.found {
            Ok(session) => decide(session, change),
            // The session could not be read. A login or logout needs nothing of it.
            Err(_) if ends => Step::End,
            Err(_) if matches!(change, Change::Write { user: Some(_), .. }) => {
                decide(&Session::Absent, change)
            }
            Err(reason) => return self.failed(*reason, false),
        };
        let result = match sessions(app) {
            Ok(sessions) => self.carry_out(app, sessions, step).await,
            Err(reason) => return self.failed(reason, ends),
        };
        match result {
            Ok(done) => done,
            // The session has ended meanwhile, so nothing can be stored in it.
            Err(SessionError::Gone) => Done::Dropped(Detail::SessionEnded),
            Err(SessionError::Redis(error)) => self.failed(Detail::Redis(error.reason()), ends),
            Err(error) => refused(&error),
        }
    }

    async fn carry_out<E: Env>(
        &self,
        app: &App<E>,
        sessions: &Sessions<E>,
        step: Step<'_>,
    ) -> Result<Done, SessionError> {
        let new = match step {
            Step::Nothing => return Ok(Done::Nothing),
            Step::TooLate { conflict: true } => return Err(SessionError::Conflict),
            Step::TooLate { conflict: false } => return Ok(Done::Dropped(Detail::SessionRotated)),
            Step::End => {
                if let Some(verified) = &self.claimed {
                    sessions.destroy(verified.id.handle()).await?;
                }
                let presented = self.claimed.is_some();
                return Ok(Done::Cookie(self.cookie.clear().filter(|_| presented)));
            }
            Step::Write(loaded, DataChange::Set(data)) => {
                sessions.save(loaded, &data).await?;
                return Ok(Done::Nothing);
            }
            Step::Write(loaded, DataChange::Merge(changes)) => {
                sessions.merge(loaded, &changes).await?;
                return Ok(Done::Nothing);
            }
            Step::Write(_, DataChange::None) => return Ok(Done::Nothing),
            Step::Rotate(loaded, data) => match sessions.rotate(loaded, &data).await {
                // The client has a new id already, from a concurrent request that was faster.
                Err(SessionError::Rotated) if data == DataChange::None => {
                    return Ok(Done::Dropped(Detail::SessionRotated));
                }
                result => result?,
            },
            Step::Create(data) => sessions.create(None, &data).await?,
            Step::LogIn(user, data) => {
                let before = self.found.as_ref().ok().and_then(Session::handle);
                sessions.login(before, &user, &data).await?
            }
        };
        Ok(Done::Cookie(self.cookie_of(app, &new.id, new.receipt.times)))
    }

    fn cookie_of<E: Env>(&self, app: &App<E>, id: &SessionId, times: Times) -> Option<HeaderValue> {
        let max_age = app.config.session.persistent.then(|| times.ends.since(times.now).as_secs());
        self.cookie.set(&app.ring.sign(id)?, max_age)
    }

    /// Redis did not carry it out. A logout that was not carried out is never reported as done.
    fn failed(&self, reason: Detail, ends: bool) -> Done {
        match self.on_redis_failure {
            OnRedisFailure::Anonymous if !ends => Done::Dropped(reason),
            _ => {
                let detail = "the session could not be written, and it is unknown whether it was changed";
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
                Done::Refused(reason, problem.with("reason", reason.as_str()))
            }
        }
    }
}

/// Returns the sessions, or why there are none.
pub(super) fn sessions<E: Env>(app: &App<E>) -> Result<&Sessions<E>, Detail> {
    app.shared.as_ref().map(|shared| &shared.sessions).ok_or(Detail::RedisDisabled)
}

/// Returns why an operation was not carried out.
pub(super) fn failure(error: &SessionError) -> Detail {
    match error {
        SessionError::Gone | SessionError::Exists => Detail::SessionEnded,
        SessionError::Conflict => Detail::SessionConflict,
        SessionError::Rotated => Detail::SessionRotated,
        SessionError::TooLarge { .. } | SessionError::Data(_) => Detail::SessionTooLarge,
        SessionError::Redis(error) => Detail::Redis(error.reason()),
    }
}

fn refused(error: &SessionError) -> Done {
    let status = match error {
        SessionError::TooLarge { .. } | SessionError::Data(_) => StatusCode::BAD_GATEWAY,
        _ => StatusCode::CONFLICT,
    };
    let reason = failure(error);
    Done::Refused(reason, Problem::new(status, error.to_string()).with("reason", reason.as_str()))
}
