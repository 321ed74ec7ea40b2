//! What to try, once it serves.

use super::App;
use crate::serving::reachable;

/// Prints it to standard output.
pub(super) fn print(app: &App, token: Option<&str>) {
    let url = format!("http://{}", reachable(app.listen));
    let origin = app.variables.get("origin_url").filter(|url| !url.is_empty());
    let origin = origin.as_deref().unwrap_or("the demo origin");
    println!("\nSpindrift serves {origin} at {url}, on {}.\n", app.runner.name());
    println!("  curl -i {url}/       # a miss; again: a hit");
    println!("  {url}/_spindrift/    # the dashboard, in a browser; it asks for the token");
    println!("  curl -X POST {url}/_spindrift/v1/purge \\");
    println!("    -H 'Authorization: Bearer {}' \\", token.unwrap_or("<your admin_token>"));
    println!("    -H 'Content-Type: application/json' -d '{{\"urls\":[\"/\"]}}'\n");
    let redis = app.variables.get("redis_host").filter(|url| !url.is_empty());
    if let Some(redis) = redis.filter(|_| app.variables.get("redis_enabled").as_deref() != Some("false")) {
        println!("  redis-cli -u {redis}    # its Redis\n");
    }
    if token.is_some() {
        println!("The token is for this session; set SPIN_VARIABLE_ADMIN_TOKEN for one of your own.");
    }
    println!("Ctrl-C ends everything.\n");
}
