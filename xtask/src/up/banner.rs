//! What to try once it serves.

use std::fmt::Write;

use super::App;
use crate::console;
use crate::serving::reachable;

/// Prints the banner to standard output.
pub(super) fn print(app: &App, token: Option<&str>) {
    let url = format!("http://{}", reachable(app.listen));
    let origin = app.variables.get("origin_url").filter(|url| !url.is_empty());
    let origin = origin.as_deref().unwrap_or("the demo origin");
    let mut text = format!(
        "\nSpindrift serves {origin} at {url}, on {}.\n\n  \
         curl -i {url}/       # a miss; again: a hit\n  \
         {url}/_spindrift/    # the dashboard, in a browser; it asks for the token\n  \
         curl -X POST {url}/_spindrift/v1/purge \\\n    \
         -H 'Authorization: Bearer {}' \\\n    \
         -H 'Content-Type: application/json' -d '{{\"urls\":[\"/\"]}}'\n\n",
        app.runner.name(),
        token.unwrap_or("<your admin_token>"),
    );
    let redis = app.variables.get("redis_host").filter(|url| !url.is_empty());
    if let Some(redis) = redis.filter(|_| app.variables.get("redis_enabled").as_deref() != Some("false")) {
        let _ = writeln!(text, "  redis-cli -u {redis}    # its Redis\n");
    }
    if token.is_some() {
        text.push_str("The token is for this session; set SPIN_VARIABLE_ADMIN_TOKEN for one of your own.\n");
    }
    text.push_str("Ctrl-C ends everything.\n");
    console::line(text);
}
