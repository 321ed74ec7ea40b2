//! Known attacks on caches, and failures that happen without an attacker, each by its name. `docs/security.md` has
//! the list; the numbers are those of its rows.

mod admin;
mod flood;
mod framing;
mod keys;
mod list;
mod poisoning;
mod private;
mod stored;

use crate::support::World;
use crate::support::origin::reply;

/// The fields of a response that is fresh for a minute.
pub(super) const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

/// From now on the origin answers with the method, scheme, host and target of the request.
pub(super) fn echo(world: &World) {
    world.origin.answers(|seen| {
        let (scheme, host) = (seen.header("x-forwarded-proto"), seen.header("x-forwarded-host"));
        let target = seen.uri.path_and_query().map_or("", |target| target.as_str());
        Ok(reply(200, FRESH, format!("{} {scheme}://{host} {target}", seen.method)))
    });
}

/// From now on the origin repeats every field of the request in its page, and sends no `Vary`.
pub(super) fn reflect(world: &World) {
    world.origin.answers(|seen| Ok(reply(200, FRESH, format!("{:?}", seen.headers))));
}
